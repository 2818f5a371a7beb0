package account

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Account is a person, or a program that has its own.
type Account struct {
	Name     string    `json:"name"`
	Role     Role      `json:"role"`
	Prefixes []string  `json:"prefixes,omitempty"` // patterns of names, of a publisher
	Password bool      `json:"password,omitempty"` // it has one
	Subject  string    `json:"subject,omitempty"`  // who it is at the site's identity provider; "" for a local account
	Made     time.Time `json:"made"`
	Changed  time.Time `json:"changed"`
	Tokens   int       `json:"tokens"` // how many it has
}

// NewAccount is what an account is made of.
type NewAccount struct {
	Name     string   `json:"name"`
	Role     Role     `json:"role"`
	Prefixes []string `json:"prefixes,omitempty"`
	Password string   `json:"password,omitempty"` // "" for none: then only tokens are of use
}

// Change changes an account. What is nil stays.
type Change struct {
	Role     *Role     `json:"role,omitempty"`
	Prefixes *[]string `json:"prefixes,omitempty"`
	Password *string   `json:"password,omitempty"` // "" takes it away; its tokens are deleted with either
}

// Add makes an account. Its error wraps ErrInvalid or ErrExists.
func (s *Store) Add(ctx context.Context, a NewAccount) (Account, error) {
	if err := errors.Join(checkName(a.Name), checkRole(a.Role, a.Prefixes)); err != nil {
		return Account{}, err
	}
	hash := ""
	if a.Password != "" {
		var err error
		if hash, err = s.hash(ctx, a.Password); err != nil {
			return Account{}, err
		}
	}
	err := s.change(ctx, func(tx *sql.Tx) error { return s.insert(ctx, tx, a, hash, "") })
	if err != nil {
		return Account{}, err
	}
	return s.account(ctx, a.Name)
}

func (s *Store) insert(ctx context.Context, tx *sql.Tx, a NewAccount, hash, subject string) error {
	now := micros(s.now())
	r, err := tx.ExecContext(ctx, `INSERT INTO accounts (name, role, prefixes, password, subject, made, changed)
		VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO NOTHING`, a.Name, a.Role, list(a.Prefixes), hash, subject,
		now, now)
	if err != nil {
		return err
	}
	if n, err := r.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, fmt.Errorf("account %s: %w", a.Name, ErrExists))
	}
	return nil
}

const accountColumns = `SELECT name, role, prefixes, password <> '', subject, made, changed,
	(SELECT count(*) FROM tokens WHERE tokens.account = accounts.name) FROM accounts `

func scanAccount(scan func(...any) error) (a Account, err error) {
	var prefixes string
	var made, changed int64
	err = scan(&a.Name, &a.Role, &prefixes, &a.Password, &a.Subject, &made, &changed, &a.Tokens)
	a.Prefixes, a.Made, a.Changed = unlist(prefixes), instant(made), instant(changed)
	return a, err
}

// account returns the one of this name, or ErrUnknown.
func (s *Store) account(ctx context.Context, name string) (Account, error) {
	a, err := scanAccount(s.db.QueryRowContext(ctx, accountColumns+"WHERE name = ?", name).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return a, fmt.Errorf("account %.80q: %w", name, ErrUnknown)
	}
	return a, err
}

// Accounts lists all accounts by their names.
func (s *Store) Accounts(ctx context.Context) ([]Account, error) {
	rows, err := s.db.QueryContext(ctx, accountColumns+"ORDER BY name")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := []Account{}
	for rows.Next() {
		a, err := scanAccount(rows.Scan)
		if err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	return out, rows.Err()
}

// Set changes an account. A role that it no longer has counts at once, for its tokens too. If the password changes,
// the tokens of the account are deleted. The error wraps ErrUnknown or ErrInvalid.
func (s *Store) Set(ctx context.Context, name string, c Change) (Account, error) {
	hash := ""
	if c.Password != nil && *c.Password != "" {
		var err error
		if hash, err = s.hash(ctx, *c.Password); err != nil {
			return Account{}, err
		}
	}
	err := s.change(ctx, func(tx *sql.Tx) error {
		a, err := scanAccount(tx.QueryRowContext(ctx, accountColumns+"WHERE name = ?", name).Scan)
		if errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("account %.80q: %w", name, ErrUnknown)
		}
		if err != nil {
			return err
		}
		if c.Role != nil {
			if a.Role = *c.Role; a.Role != Publisher {
				a.Prefixes = nil
			}
		}
		if c.Prefixes != nil {
			a.Prefixes = *c.Prefixes
		}
		if err := checkRole(a.Role, a.Prefixes); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "UPDATE accounts SET role = ?, prefixes = ?, changed = ? WHERE name = ?",
			a.Role, list(a.Prefixes), micros(s.now()), name); err != nil || c.Password == nil {
			return err
		}
		if a.Subject != "" {
			return fmt.Errorf("%w: account %s has its password at the identity provider", ErrInvalid, name)
		}
		if _, err := tx.ExecContext(ctx, "UPDATE accounts SET password = ? WHERE name = ?", hash, name); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "DELETE FROM tokens WHERE account = ?", name)
		return err
	})
	if err != nil {
		return Account{}, err
	}
	return s.account(ctx, name)
}

// Delete deletes an account and its tokens. The error wraps ErrUnknown.
func (s *Store) Delete(ctx context.Context, name string) error {
	return s.change(ctx, func(tx *sql.Tx) error {
		r, err := tx.ExecContext(ctx, "DELETE FROM accounts WHERE name = ?", name)
		if err != nil {
			return err
		}
		if n, err := r.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, fmt.Errorf("account %.80q: %w", name, ErrUnknown))
		}
		return nil
	})
}
