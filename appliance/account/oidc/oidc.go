// Package oidc finds out who someone is by an ID token of the site's identity provider (OpenID Connect Core 1.0
// section 3.1.3.7).
//
// Call New, and Verify for each ID token. A token counts once, and only within 10 minutes of its making: a copy of it
// is worthless after the login, and soon in any case. The provider's keys are fetched when the first token comes, and
// when one has an unknown key. A Provider may be used by several goroutines at once.
package oidc

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"griddle/appliance/account"
)

// The errors of Verify.
var (
	ErrToken       = errors.New("the identity provider's token is not valid")
	ErrNoRole      = errors.New("the identity provider knows you, but gives you no role here")
	ErrUnreachable = errors.New("the identity provider cannot be asked")
)

const (
	fresh    = 10 * time.Minute // for which a token counts, from its making
	maxToken = 16 << 10         // bytes
	maxUsed  = 4096             // tokens that are remembered
	patience = 15 * time.Second // with the provider
)

// Options say who the identity provider is, and what its claims mean here.
type Options struct {
	Issuer string // its URL
	Client string // client ID of the command line, a public client (RFC 8252); the aud of its tokens
	Name   string // claim that becomes the name of the account; "" for preferred_username
	Groups string // claim with a list of groups; "" for groups
	// Roles has the groups that give a role; the highest one counts. A publisher has none: it needs patterns of names.
	Roles map[account.Role][]string
	HTTP  *http.Client     // nil for http.DefaultClient
	Now   func() time.Time // nil for time.Now
}

// Provider is the site's identity provider.
type Provider struct {
	o Options

	mu       sync.Mutex
	verifier *oidc.IDTokenVerifier           // nil until it was asked
	used     map[[sha256.Size]byte]time.Time // tokens that counted, and until when they would again
}

// New makes a Provider. It sends nothing yet.
func New(o Options) *Provider {
	if o.Name == "" {
		o.Name = "preferred_username"
	}
	if o.Groups == "" {
		o.Groups = "groups"
	}
	if o.HTTP == nil {
		o.HTTP = http.DefaultClient
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Provider{o: o, used: map[[sha256.Size]byte]time.Time{}}
}

// Issuer and Client are those of the Options.
func (p *Provider) Issuer() string { return p.o.Issuer }

// Client is the client ID.
func (p *Provider) Client() string { return p.o.Client }

// Identity is who someone is at the identity provider.
type Identity struct {
	Subject string // issuer and subject: what stays when a name changes
	Name    string // in lower case
	Role    account.Role
}

// Verify returns who an ID token is about. The error wraps ErrToken, ErrNoRole or ErrUnreachable.
func (p *Provider) Verify(ctx context.Context, raw string) (Identity, error) {
	if len(raw) > maxToken {
		return Identity{}, fmt.Errorf("%w: it has more than %d bytes", ErrToken, maxToken)
	}
	ctx, cancel := context.WithTimeout(oidc.ClientContext(ctx, p.o.HTTP), patience)
	defer cancel()
	v, err := p.verifierNow(ctx)
	if err != nil {
		return Identity{}, err
	}
	token, err := v.Verify(ctx, raw)
	if err != nil {
		return Identity{}, fmt.Errorf("%w: %w", ErrToken, err)
	}
	now := p.o.Now()
	if age := now.Sub(token.IssuedAt); age > fresh || age < -fresh {
		return Identity{}, fmt.Errorf("%w: it was made at %s, and here it is %s", ErrToken,
			token.IssuedAt.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	id, err := p.identity(token)
	if err != nil {
		return Identity{}, err
	}
	if !p.once(raw, token.IssuedAt.Add(2*fresh), now) {
		return Identity{}, fmt.Errorf("%w: it was used already", ErrToken)
	}
	return id, nil
}

// verifierNow asks the provider for its keys and algorithms, the first time that it can be asked.
func (p *Provider) verifierNow(ctx context.Context) (*oidc.IDTokenVerifier, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.verifier != nil {
		return p.verifier, nil
	}
	// What is fetched later has a context of its own: the one of the first login ends with it.
	provider, err := oidc.NewProvider(oidc.ClientContext(context.WithoutCancel(ctx), p.bounded()), p.o.Issuer)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	p.verifier = provider.VerifierContext(oidc.ClientContext(context.Background(), p.bounded()),
		&oidc.Config{ClientID: p.o.Client, Now: p.o.Now})
	return p.verifier, nil
}

// bounded is the client with a limit of time.
func (p *Provider) bounded() *http.Client {
	c := *p.o.HTTP
	if c.Timeout == 0 || c.Timeout > patience {
		c.Timeout = patience
	}
	return &c
}

// identity reads the claims of a token whose signature is valid.
func (p *Provider) identity(token *oidc.IDToken) (Identity, error) {
	var claims map[string]any
	if err := token.Claims(&claims); err != nil {
		return Identity{}, fmt.Errorf("%w: %w", ErrToken, err)
	}
	name, _ := claims[p.o.Name].(string)
	if token.Subject == "" || name == "" {
		return Identity{}, fmt.Errorf("%w: it has no claim sub or no claim %s", ErrToken, p.o.Name)
	}
	if verified, ok := claims["email_verified"].(bool); p.o.Name == "email" && (!ok || !verified) {
		return Identity{}, fmt.Errorf("%w: its email is not verified", ErrToken)
	}
	var groups []string
	switch g := claims[p.o.Groups].(type) {
	case string:
		groups = []string{g}
	case []any:
		for _, one := range g {
			if s, ok := one.(string); ok {
				groups = append(groups, s)
			}
		}
	}
	id := Identity{Subject: token.Issuer + " " + token.Subject, Name: strings.ToLower(name)}
	for _, role := range []account.Role{account.Viewer, account.Operator, account.Admin} {
		if slices.ContainsFunc(p.o.Roles[role], func(g string) bool { return slices.Contains(groups, g) }) {
			id.Role = role
		}
	}
	if id.Role == "" {
		return Identity{}, fmt.Errorf("%w: none of your groups has a role", ErrNoRole)
	}
	return id, nil
}

// once notes that a token counts, and says whether it is the first time. What is signed decides: the same signature can
// be written in several ways.
func (p *Provider) once(raw string, until, now time.Time) bool {
	signed := raw[:max(0, strings.LastIndexByte(raw, '.'))]
	sum := sha256.Sum256([]byte(signed))
	p.mu.Lock()
	defer p.mu.Unlock()
	for k, t := range p.used {
		if now.After(t) {
			delete(p.used, k)
		}
	}
	if _, again := p.used[sum]; again || len(p.used) >= maxUsed {
		return false
	}
	p.used[sum] = until
	return true
}
