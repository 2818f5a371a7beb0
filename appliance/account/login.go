package account

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// How long the token of a login is valid.
const (
	DefaultLogin = 7 * 24 * time.Hour
	MaxLogin     = 90 * 24 * time.Hour
)

// Login makes a token for someone at an address who gives the name and the password of an account. The token has the
// role that the account has at each use, and is called label. life is how long it is valid, zero for DefaultLogin.
//
// The error wraps ErrLogin, which does not say what was wrong; the work is the same for a name that does not exist. It
// wraps ErrGuesses, ErrBusy or ErrInvalid where the password was not looked at.
func (s *Store) Login(ctx context.Context, name, password, address, label string, life time.Duration) (string, Token,
	error) {
	fail := func(err error) (string, Token, error) { return "", Token{}, err }
	if life == 0 {
		life = DefaultLogin
	}
	if life < time.Minute || life > MaxLogin {
		return fail(fmt.Errorf("%w: a login is valid for between a minute and %d days", ErrInvalid,
			int(MaxLogin.Hours()/24)))
	}
	if len(password) > maxPassword || len(name) > maxLabel {
		return fail(ErrLogin)
	}
	back, ok := s.guesses.take(name, address, s.now())
	if !ok {
		return fail(ErrGuesses)
	}
	var hash string
	err := s.db.QueryRowContext(ctx, "SELECT password FROM accounts WHERE name = ?", name).Scan(&hash)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		back()
		return fail(err)
	}
	right, err := s.verify(ctx, hash, password)
	if err != nil {
		back()
		return fail(err)
	}
	if !right {
		return fail(ErrLogin)
	}
	back()
	return s.insertToken(ctx, NewToken{Account: name, Name: label, Until: s.now().Add(life)}, name)
}

// Exists says whether there is an account of this name. It keeps passwords that were typed as names out of logs.
func (s *Store) Exists(ctx context.Context, name string) bool {
	_, err := s.account(ctx, name)
	return err == nil
}
