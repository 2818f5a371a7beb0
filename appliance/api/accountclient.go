package api

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"griddle/appliance/account"
)

// Login gets a token by the name and the password of an account. The client needs none itself.
func (c *Client) Login(ctx context.Context, in Login) (out MadeToken, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/login", in, &out)
	return out, err
}

// Logout makes the token of the client worthless.
func (c *Client) Logout(ctx context.Context) error {
	return c.call(ctx, http.MethodPost, "/v1/logout", nil, nil)
}

// Me returns who the client is.
func (c *Client) Me(ctx context.Context) (out Me, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/me", nil, &out)
	return out, err
}

// Accounts lists all accounts.
func (c *Client) Accounts(ctx context.Context) (out []account.Account, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/accounts", nil, &out)
	return out, err
}

// AddAccount makes an account.
func (c *Client) AddAccount(ctx context.Context, in account.NewAccount) (out account.Account, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/accounts", in, &out)
	return out, err
}

// ChangeAccount changes an account.
func (c *Client) ChangeAccount(ctx context.Context, name string, in account.Change) (out account.Account, err error) {
	err = c.call(ctx, http.MethodPatch, "/v1/accounts/"+url.PathEscape(name), in, &out)
	return out, err
}

// DeleteAccount deletes an account and its tokens.
func (c *Client) DeleteAccount(ctx context.Context, name string) error {
	return c.call(ctx, http.MethodDelete, "/v1/accounts/"+url.PathEscape(name), nil, nil)
}

// Tokens lists the tokens of the caller, and for an admin all.
func (c *Client) Tokens(ctx context.Context) (out []account.Token, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/tokens", nil, &out)
	return out, err
}

// MakeToken makes a token.
func (c *Client) MakeToken(ctx context.Context, in account.NewToken) (out MadeToken, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/tokens", in, &out)
	return out, err
}

// DeleteToken makes a token worthless.
func (c *Client) DeleteToken(ctx context.Context, id string) error {
	return c.call(ctx, http.MethodDelete, "/v1/tokens/"+url.PathEscape(id), nil, nil)
}

// Audit reads the whole audit log, and calls do with every page. It checks that the entries follow each other, and
// returns the number and the digest of the last one. The error wraps account.ErrChain if the log was changed.
func (c *Client) Audit(ctx context.Context, do func([]account.Entry) error) (seq int64, digest string, err error) {
	for {
		var page Audit
		path := fmt.Sprintf("/v1/audit?after=%d", seq)
		if err := c.call(ctx, http.MethodGet, path, nil, &page); err != nil {
			return seq, digest, err
		}
		last, sum, err := account.Check(seq, digest, page.Entries)
		if err == nil {
			err = do(page.Entries)
		}
		if err != nil || page.Next == 0 || last == seq {
			return last, sum, err
		}
		seq, digest = last, sum
	}
}
