package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"griddle/appliance/account"
	"griddle/appliance/job"
	"griddle/appliance/quota"
)

// Login asks for a token by the name and the password of an account.
type Login struct {
	Name     string `json:"name"`
	Password string `json:"password"`
	Label    string `json:"label,omitempty"`   // what the token is called, such as the name of a computer
	Seconds  int64  `json:"seconds,omitempty"` // how long it is to be valid; 0 for as long as the server likes
}

// LoginWays are the ways to log in beside a name with its password.
type LoginWays struct {
	Provider *Identity `json:"provider,omitempty"` // the site's identity provider, if it has one
}

// Identity is an identity provider (OpenID Connect), and how to ask it.
type Identity struct {
	Issuer string   `json:"issuer"`
	Client string   `json:"client"` // client ID
	Scopes []string `json:"scopes"`
}

// ProviderLogin asks for a token by an ID token of the site's identity provider.
type ProviderLogin struct {
	Token   string `json:"token"`             // the ID token; it counts once
	Label   string `json:"label,omitempty"`   // as in Login
	Seconds int64  `json:"seconds,omitempty"` // as in Login, 12 hours at most
}

// MadeToken is a new token.
type MadeToken struct {
	Token  account.Token `json:"token"`
	Secret string        `json:"secret"` // the token itself, which is shown this one time
}

// Me is the caller.
type Me struct {
	Name     string       `json:"name"`
	Role     account.Role `json:"role"`
	Prefixes []string     `json:"prefixes,omitempty"`
	Token    string       `json:"token"`          // its ID
	Until    time.Time    `json:"until,omitzero"` // when it expires; zero for never
}

// Audit is a page of the audit log.
type Audit struct {
	Entries []account.Entry `json:"entries"`
	Next    int64           `json:"next,omitempty"` // ask for what comes after it; 0 where these were the last
}

const maxAuditPage = 1000

type (
	byName struct {
		Name string `path:"name" doc:"the name of an account"`
	}
	changeAccount struct {
		Name string `path:"name" doc:"the name of an account"`
		sent[account.Change]
	}
	byID struct {
		ID string `path:"id" doc:"the ID of a token"`
	}
	readAudit struct {
		After int64 `query:"after" minimum:"0" doc:"the number of the entry after which the page begins"`
		Limit int64 `query:"limit" minimum:"0" maximum:"1000" doc:"how many entries at most; 0 for as many as fit"`
	}
)

// accounts registers the calls about accounts, tokens and the audit log.
func (h *Handler) accounts(a huma.API, op func(id, pattern, summary string) huma.Operation) {
	made := func(o huma.Operation) huma.Operation {
		o.DefaultStatus = http.StatusCreated
		return o
	}
	route(h, a, open(op("login", "POST /v1/login",
		"Get a token by the name and the password of an account")), "", h.login)
	route(h, a, open(op("get-login-ways", "GET /v1/login",
		"Show the ways to log in beside a password")), "", h.loginWays)
	route(h, a, open(op("login-by-provider", "POST /v1/login/provider",
		"Get a token by an ID token of the identity provider")), "", h.providerLogin)
	routeEmpty(h, a, op("logout", "POST /v1/logout",
		"Make the token of this request worthless"), account.Viewer, h.logout)
	route(h, a, op("get-me", "GET /v1/me",
		"Show who the caller is"), account.Viewer, h.me)
	route(h, a, op("list-accounts", "GET /v1/accounts",
		"List accounts"), account.Admin, h.listAccounts)
	route(h, a, made(op("add-account", "POST /v1/accounts",
		"Make an account")), account.Admin, h.addAccount)
	route(h, a, op("change-account", "PATCH /v1/accounts/{name}",
		"Change an account"), account.Admin, h.changeAccount)
	routeEmpty(h, a, op("delete-account", "DELETE /v1/accounts/{name}",
		"Delete an account and its tokens"), account.Admin, h.deleteAccount)
	route(h, a, op("list-tokens", "GET /v1/tokens",
		"List the caller's tokens; for an admin all"), account.Viewer, h.listTokens)
	route(h, a, made(op("make-token", "POST /v1/tokens",
		"Make a token, which allows no more than the caller's")), account.Viewer, h.makeToken)
	routeEmpty(h, a, op("delete-token", "DELETE /v1/tokens/{id}",
		"Make a token of the caller worthless; for an admin any"), account.Viewer, h.deleteToken)
	route(h, a, op("read-audit", "GET /v1/audit",
		"Read the log of what operators changed"), account.Admin, h.audit)
}

// login is in the audit log when it is over: what strangers try is there only as often as they may guess.
func (h *Handler) login(ctx context.Context, in *struct{ sent[Login] }) (out MadeToken, err error) {
	c, ask := callerOf(ctx), in.body
	life, err := labelled(&ask.Label, ask.Seconds, account.MaxLogin)
	if err != nil {
		return out, err
	}
	out.Secret, out.Token, err = h.o.Accounts.Login(ctx, ask.Name, ask.Password, quota.Key(c.remote), ask.Label,
		life)
	e := account.Entry{Who: ask.Name, Role: out.Token.Role, Token: out.Token.ID, From: Host(c.remote),
		Call: "POST /v1/login", On: ask.Label, Outcome: account.Done, Status: http.StatusOK}
	switch {
	case errors.Is(err, account.ErrLogin):
		h.o.Log.Warn("a login with a wrong name or password", "remote", c.remote)
		e.Outcome, e.Status = account.Refused, http.StatusUnauthorized
		if !h.o.Accounts.Exists(ctx, ask.Name) {
			e.Who = "unknown" // it may be a password that was typed in the wrong place
		}
	case err != nil:
		return MadeToken{}, err
	}
	return h.noted(ctx, e, out, err)
}

// noted notes a login that ended with err, and returns its token, which is worthless if the log cannot be written.
func (h *Handler) noted(ctx context.Context, e account.Entry, out MadeToken, err error) (MadeToken, error) {
	if noted := h.o.Accounts.Note(ctx, e); noted != nil {
		if err == nil {
			err = h.o.Accounts.DeleteToken(ctx, account.Who{Role: account.Admin}, out.Token.ID)
		}
		return MadeToken{}, errors.Join(noted, err)
	}
	if err != nil {
		return MadeToken{}, err
	}
	return out, nil
}

// labelled checks what a login asks for, fills in its label, and returns how long the token is to be valid, 0 for the
// default.
func labelled(label *string, seconds int64, most time.Duration) (time.Duration, error) {
	if *label == "" {
		*label = "login"
	}
	if len(*label) > 64 || job.Printable(*label) != *label {
		return 0, job.NewProblem(http.StatusBadRequest, "the label has more than 64 bytes, or is not printable")
	}
	if seconds < 0 || seconds > int64(most/time.Second) {
		return 0, job.NewProblem(http.StatusBadRequest, fmt.Sprintf("such a login is valid for at most %d hours",
			int(most.Hours())))
	}
	return time.Duration(seconds) * time.Second, nil
}

func (h *Handler) loginWays(context.Context, *struct{}) (out LoginWays, _ error) {
	if p := h.o.Provider; p != nil {
		out.Provider = &Identity{Issuer: p.Issuer(), Client: p.Client(), Scopes: []string{"openid", "profile", "email",
			"groups"}}
	}
	return out, nil
}

// providerLogin is in the audit log if the provider knows who it is.
func (h *Handler) providerLogin(ctx context.Context, in *struct{ sent[ProviderLogin] }) (out MadeToken, err error) {
	c, ask := callerOf(ctx), in.body
	if h.o.Provider == nil {
		return out, job.NewProblem(http.StatusNotFound, "this server has no identity provider: see oidc in its "+
			"configuration")
	}
	life, err := labelled(&ask.Label, ask.Seconds, account.ProviderLogin)
	if err != nil {
		return out, err
	}
	id, err := h.o.Provider.Verify(ctx, ask.Token)
	if err != nil {
		h.o.Log.Warn("a login by the identity provider was refused", "remote", c.remote, "error", err)
		return out, err
	}
	out.Secret, out.Token, err = h.o.Accounts.Enter(ctx, id.Subject, id.Name, id.Role, ask.Label, life)
	e := account.Entry{Who: id.Name, Role: id.Role, Token: out.Token.ID, From: Host(c.remote),
		Call: "POST /v1/login/provider", On: ask.Label, Outcome: account.Done, Status: http.StatusOK}
	if err == nil {
		e.Who = out.Token.Account
	} else {
		e.Who, e.Outcome, e.Status = job.Printable(id.Name), account.Refused, http.StatusConflict
	}
	return h.noted(ctx, e, out, err)
}

func (h *Handler) logout(ctx context.Context, _ *struct{}) error {
	c := callerOf(ctx)
	if c.Token == account.AdminToken {
		return job.NewProblem(http.StatusConflict, "the administrator's token ends when its file is deleted and the "+
			"server restarts")
	}
	return h.o.Accounts.DeleteToken(ctx, c.Who, c.Token)
}

func (h *Handler) me(ctx context.Context, _ *struct{}) (Me, error) {
	c := callerOf(ctx)
	return Me{Name: c.Name, Role: c.Role, Prefixes: c.Prefixes, Token: c.Token, Until: c.Until}, nil
}

func (h *Handler) listAccounts(ctx context.Context, _ *struct{}) ([]account.Account, error) {
	return h.o.Accounts.Accounts(ctx)
}

func (h *Handler) addAccount(ctx context.Context, in *struct{ sent[account.NewAccount] }) (account.Account, error) {
	a, err := h.o.Accounts.Add(ctx, in.body)
	if err == nil {
		about(ctx, a.Name+", "+string(a.Role))
	}
	return a, err
}

func (h *Handler) changeAccount(ctx context.Context, in *changeAccount) (account.Account, error) {
	a, err := h.o.Accounts.Set(ctx, in.Name, in.body)
	if err == nil {
		about(ctx, string(a.Role))
	}
	return a, err
}

func (h *Handler) deleteAccount(ctx context.Context, in *byName) error {
	return h.o.Accounts.Delete(ctx, in.Name)
}

func (h *Handler) listTokens(ctx context.Context, _ *struct{}) ([]account.Token, error) {
	return h.o.Accounts.Tokens(ctx, callerOf(ctx).Who)
}

func (h *Handler) makeToken(ctx context.Context, in *struct{ sent[account.NewToken] }) (out MadeToken, err error) {
	out.Secret, out.Token, err = h.o.Accounts.MakeToken(ctx, callerOf(ctx).Who, in.body)
	if err == nil {
		about(ctx, out.Token.ID+", "+string(out.Token.Role)+", "+out.Token.Account)
	}
	return out, err
}

func (h *Handler) deleteToken(ctx context.Context, in *byID) error {
	return h.o.Accounts.DeleteToken(ctx, callerOf(ctx).Who, in.ID)
}

func (h *Handler) audit(ctx context.Context, in *readAudit) (out Audit, err error) {
	limit := int(in.Limit)
	if limit == 0 {
		limit = maxAuditPage
	}
	out.Entries, err = h.o.Accounts.Entries(ctx, in.After, limit)
	if n := len(out.Entries); err == nil && n == limit {
		out.Next = out.Entries[n-1].Seq
	}
	return out, err
}
