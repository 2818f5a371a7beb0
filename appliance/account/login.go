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
	// ProviderLogin is how long one by the identity provider is valid, and at most: what the provider takes from
	// someone counts here after that time.
	ProviderLogin = 12 * time.Hour
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

// Enter makes a token for someone whom the site's identity provider knows by subject. The first time it makes an
// account of that name. The account gets the role that the provider gives now, and its earlier tokens have no more. The
// error wraps ErrExists if the name is that of another account, and ErrInvalid.
func (s *Store) Enter(ctx context.Context, subject, name string, role Role, label string, life time.Duration) (string,
	Token, error) {
	if life == 0 {
		life = ProviderLogin
	}
	if subject == "" || life < time.Minute || life > ProviderLogin {
		return "", Token{}, fmt.Errorf("%w: a login by the identity provider is valid for between a minute and "+
			"%d hours", ErrInvalid, int(ProviderLogin.Hours()))
	}
	if err := errors.Join(checkName(name), checkRole(role, nil)); err != nil {
		return "", Token{}, err
	}
	err := s.change(ctx, func(tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx, "SELECT name FROM accounts WHERE subject = ?", subject).Scan(&name)
		if errors.Is(err, sql.ErrNoRows) {
			return s.insert(ctx, tx, NewAccount{Name: name, Role: role}, "", subject)
		}
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE accounts SET role = ?, prefixes = '[]', changed = ?
			WHERE name = ? AND role <> ?`, role, micros(s.now()), name, role)
		return err
	})
	if err != nil {
		return "", Token{}, err
	}
	return s.insertToken(ctx, NewToken{Account: name, Name: label, Until: s.now().Add(life)}, name)
}

// Exists says whether there is an account of this name. It keeps passwords that were typed as names out of logs.
func (s *Store) Exists(ctx context.Context, name string) bool {
	_, err := s.account(ctx, name)
	return err == nil
}
