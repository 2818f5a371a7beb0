package api

import (
	"context"

	"griddle/appliance/account"
	"griddle/appliance/api/client"
)

// Login gets a token by the name and the password of an account. The client needs none itself.
func (c *Client) Login(ctx context.Context, in Login) (out MadeToken, err error) {
	err = c.made.Login(ctx, in, &out)
	return out, err
}

// LoginWays returns the ways to log in beside a password. The client needs no token.
func (c *Client) LoginWays(ctx context.Context) (out LoginWays, err error) {
	err = c.made.GetLoginWays(ctx, &out)
	return out, err
}

// ProviderLogin gets a token by an ID token of the identity provider. The client needs none itself.
func (c *Client) ProviderLogin(ctx context.Context, in ProviderLogin) (out MadeToken, err error) {
	err = c.made.LoginByProvider(ctx, in, &out)
	return out, err
}

// Logout makes the token of the client worthless.
func (c *Client) Logout(ctx context.Context) error {
	return c.made.Logout(ctx, nil)
}

// Me returns who the client is.
func (c *Client) Me(ctx context.Context) (out Me, err error) {
	err = c.made.GetMe(ctx, &out)
	return out, err
}

// Accounts lists all accounts.
func (c *Client) Accounts(ctx context.Context) (out []account.Account, err error) {
	err = c.made.ListAccounts(ctx, &out)
	return out, err
}

// AddAccount makes an account.
func (c *Client) AddAccount(ctx context.Context, in account.NewAccount) (out account.Account, err error) {
	err = c.made.AddAccount(ctx, in, &out)
	return out, err
}

// ChangeAccount changes an account.
func (c *Client) ChangeAccount(ctx context.Context, name string, in account.Change) (out account.Account, err error) {
	err = c.made.ChangeAccount(ctx, name, in, &out)
	return out, err
}

// DeleteAccount deletes an account and its tokens.
func (c *Client) DeleteAccount(ctx context.Context, name string) error {
	return c.made.DeleteAccount(ctx, name, nil)
}

// Tokens lists the tokens of the caller, and for an admin all.
func (c *Client) Tokens(ctx context.Context) (out []account.Token, err error) {
	err = c.made.ListTokens(ctx, &out)
	return out, err
}

// MakeToken makes a token.
func (c *Client) MakeToken(ctx context.Context, in account.NewToken) (out MadeToken, err error) {
	err = c.made.MakeToken(ctx, in, &out)
	return out, err
}

// DeleteToken makes a token worthless.
func (c *Client) DeleteToken(ctx context.Context, id string) error {
	return c.made.DeleteToken(ctx, id, nil)
}

// Audit reads the whole audit log, and calls do with every page. It checks that the entries follow each other, and
// returns the number and the digest of the last one. The error wraps account.ErrChain if the log was changed.
func (c *Client) Audit(ctx context.Context, do func([]account.Entry) error) (seq int64, digest string, err error) {
	for {
		var page Audit
		if err := c.made.ReadAudit(ctx, client.ReadAuditQuery{After: seq}, &page); err != nil {
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
