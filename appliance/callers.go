package appliance

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"griddle/appliance/account"
	"griddle/appliance/api"
	"griddle/appliance/config"
	"griddle/appliance/fleet"
	"griddle/appliance/job"
	"griddle/appliance/publishtoken"
	"griddle/appliance/quota"
	"griddle/imagestore"
	"griddle/imagestore/minisign"
	"griddle/imagestore/remote"
)

// errBadToken is the answer to an unknown token.
var errBadToken = errors.New("the token is not valid: it is not the administrator's, an account's, a trusted " +
	"publisher's, or the token of a machine that booted from this server")

// callers tells who sends a request, by its token, and which addresses belong to those who had a valid one.
type callers struct {
	// who has the token of an account or of the administrator; a *job.Problem where the token is not one
	operator func(*http.Request) (account.Who, error)
	// nil for a boot whose machine has a live job, and for an installed machine with a live update; fleet.ErrOver
	// without one
	job func(context.Context, fleet.Proof) error
	// whether an operator named the machine: only such a one opens the reserve
	ordered func(context.Context, fleet.Proof) bool
	trusted func(context.Context, minisign.PublicKey) error // nil for a key that may publish
	state   string                                          // directory
	private bool
	now     func() time.Time

	accounts *account.Store
	log      *slog.Logger

	mu sync.Mutex
	// boots with a job, by token and key, and until when that is taken for granted
	boots map[[sha256.Size]byte]time.Time
	known map[string]time.Time // addresses of all who had a token, by quota.Key, likewise
}

const (
	bootTrust = 5 * time.Second // for which the fleet is not asked again
	// since somebody at it had a token: a machine with a job, a publisher, an administrator
	addressTrust = 10 * time.Minute
	maxKnown     = 4096 // of each
)

// who says who sends r (remote.HandlerOptions), and notes the address of those who are no strangers.
func (c *callers) who(r *http.Request) (remote.Caller, error) {
	by, err := c.bearer(r)
	if err == nil && (by.Role > remote.Reader || by.Person || by.Role == remote.Reader &&
		c.ordered(r.Context(), api.Proof(r))) {
		c.mu.Lock()
		defer c.mu.Unlock()
		remember(c.known, quota.Key(r.RemoteAddr), c.now(), addressTrust)
	}
	return by, err
}

// bearer says whose token r has, or that it proves the key of an installed machine.
func (c *callers) bearer(r *http.Request) (remote.Caller, error) {
	token := api.Bearer(r)
	if token == "" && api.Proof(r).Key == "" {
		return remote.Caller{}, nil
	}
	if token == "" {
		return c.boot(r)
	}
	w, err := c.operator(r)
	if err == nil {
		return personOf(w), nil
	}
	var p *job.Problem
	if !errors.As(err, &p) {
		return remote.Caller{}, fmt.Errorf("%w: %w", remote.ErrLimit, err)
	}
	if strings.HasPrefix(token, account.Mark) {
		return remote.Caller{}, errors.New(p.Detail)
	}
	k, err := publishtoken.Owner(c.state, token)
	if err == nil {
		if err := c.trusted(r.Context(), k); err != nil {
			return remote.Caller{},
				fmt.Errorf("the token belongs to publisher's key %s, which may no longer publish: %w", k.ID(), err)
		}
		return remote.Caller{Role: remote.Publisher, Key: k}, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return remote.Caller{}, fmt.Errorf("%w: %w", remote.ErrLimit, err)
	}
	return c.boot(r)
}

// personOf is what an operator may do in the store.
func personOf(w account.Who) remote.Caller {
	role := remote.Reader
	switch w.Role {
	case account.Admin:
		role = remote.Administrator
	case account.Publisher:
		role = remote.Publisher
	}
	return remote.Caller{Role: role, Person: true, Names: w.Publishes}
}

// begin notes a change of the store in the audit log before it is done (remote.HandlerOptions).
func (c *callers) begin(r *http.Request, by remote.Caller, what, on string) (func(status int, on string), error) {
	e := account.Entry{Role: account.Publisher, From: api.Host(r.RemoteAddr), Call: what, On: job.Sentence(on)}
	if by.Person {
		w, err := c.operator(r)
		if err != nil {
			return nil, err
		}
		e.Who, e.Role, e.Token = w.Name, w.Role, w.Token
	} else {
		e.Who = "publisher's key " + by.Key.ID()
	}
	call, err := c.accounts.Begin(r.Context(), e)
	if err != nil {
		c.log.Error("the audit log cannot be written", "error", err)
		return nil, account.ErrAudit
	}
	return func(status int, on string) {
		if err := call.End(r.Context(), account.OutcomeOf(status), status, job.Sentence(on)); err != nil {
			c.log.Error("how a change ended is not in the audit log", "call", what, "status", status, "error", err)
		}
	}, nil
}

// boot tells a boot whose machine has a job from others, and an installed machine with an update. A key that belongs to
// no machine is a stranger's.
func (c *callers) boot(r *http.Request) (remote.Caller, error) {
	by, now := api.Proof(r), c.now()
	sum := sha256.Sum256([]byte(by.Token + "\n" + by.Key)) // a header has no line feed
	c.mu.Lock()
	fresh := now.Before(c.boots[sum])
	c.mu.Unlock()
	if !fresh {
		switch err := c.job(r.Context(), by); {
		case errors.Is(err, fleet.ErrToken):
			return remote.Caller{}, errBadToken
		case errors.Is(err, fleet.ErrKey):
			return remote.Caller{}, nil
		case errors.Is(err, fleet.ErrOver):
			if c.private {
				return remote.Caller{}, errors.New("this machine has no job, and images are private")
			}
			return remote.Caller{}, nil
		case err != nil:
			return remote.Caller{}, fmt.Errorf("%w: %w", remote.ErrLimit, err)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	remember(c.boots, sum, now, bootTrust)
	return remote.Caller{Role: remote.Reader}, nil
}

// remember notes k for a while. Where there are too many, what is over goes; if nothing is, k is not noted.
func remember[K comparable](m map[K]time.Time, k K, now time.Time, d time.Duration) {
	if _, ok := m[k]; !ok && len(m) >= maxKnown {
		for k, t := range m {
			if !now.Before(t) {
				delete(m, k)
			}
		}
		if len(m) >= maxKnown {
			return
		}
	}
	m[k] = now.Add(d)
}

// acquainted says whether somebody with a valid token was at the address, as quota.Key names it, a short while ago.
func (c *callers) acquainted(address string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now().Before(c.known[address])
}

// client names who holds what r takes (remote.HandlerOptions).
func (c *callers) client(r *http.Request, by remote.Caller) (client string, known bool) {
	address := quota.Key(r.RemoteAddr)
	return address, by.Role > remote.Reader || by.Person || c.acquainted(address)
}

// meet notes addresses from what agents and operators send.
func (c *callers) meet(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if by := api.Proof(r); by.Token != "" || by.Key != "" {
			_, _ = c.who(r) // h answers those whose token is not valid
		}
		h.ServeHTTP(w, r)
	})
}

// newCallers makes those of this server.
func (s *server) newCallers() *callers {
	return &callers{
		operator: s.api.Who, accounts: s.accounts, log: s.log,
		job: func(ctx context.Context, by fleet.Proof) error {
			_, err := s.fleet.Streaming(ctx, by)
			return err
		},
		ordered: func(ctx context.Context, by fleet.Proof) bool {
			if by.Token == "" {
				m, err := s.fleet.KeyOwner(ctx, by.Key)
				return err == nil && m.Rank == fleet.Ordered
			}
			b, err := s.fleet.Session(ctx, by)
			return err == nil && b.Ordered
		},
		trusted: func(ctx context.Context, k minisign.PublicKey) error { return mayPublish(ctx, s.store, k) },
		state:   s.state.dir, private: s.config.Images == config.ImagesPrivate, now: s.now,
		boots: map[[sha256.Size]byte]time.Time{}, known: map[string]time.Time{},
	}
}

// mayPublish returns nil where the store counts what k signs.
func mayPublish(ctx context.Context, st *imagestore.Store, k minisign.PublicKey) error {
	t, err := st.Trusted(ctx)
	if err != nil {
		return err
	}
	for _, g := range t.Grants() {
		if g.Key() == k && !g.Site() {
			return nil
		}
	}
	return errors.New("it is not trusted")
}
