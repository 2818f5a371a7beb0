package account

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Token is what is known of a token; the token itself is kept nowhere.
type Token struct {
	ID       string    `json:"id"`
	Account  string    `json:"account,omitempty"` // whose it is; "" for one that belongs to no account
	Name     string    `json:"name"`              // what it is for
	Role     Role      `json:"role"`              // what it allows, as long as its account allows that too
	Prefixes []string  `json:"prefixes,omitempty"`
	Made     time.Time `json:"made"`
	MadeBy   string    `json:"made_by"`          // name of the caller
	Until    time.Time `json:"until,omitzero"`   // when it expires; zero for never
	Used     time.Time `json:"used,omitzero"`    // last use, to five minutes; zero for never
	Expired  bool      `json:"expired,omitzero"` // it is only listed
}

// NewToken is what a token is made of.
type NewToken struct {
	Account  string    `json:"account,omitempty"`  // whose it becomes; "" for no account's
	Name     string    `json:"name"`               // what it is for, 1 to 64 bytes
	Role     Role      `json:"role,omitempty"`     // "" for the one of its account, as it is at each use
	Prefixes []string  `json:"prefixes,omitempty"` // of a publisher
	Until    time.Time `json:"until,omitzero"`     // when it expires; zero for never
}

// Mark begins every token of this package, so that a file or a log in which one was left can be searched for it.
const Mark = "griddle_"

const (
	usedEvery = 5 * time.Minute // how exactly the last use is kept
	maxTokens = 1000            // of an account, and of no account
	maxUsed   = 4096
)

// MakeToken makes a token as by asks for it. It allows no more than by may; only an admin makes one of another account,
// or of none. The token is durable when it returns, and cannot be read again later. The error wraps ErrInvalid,
// ErrUnknown or ErrMore.
func (s *Store) MakeToken(ctx context.Context, by Who, n NewToken) (secret string, t Token, err error) {
	if n.Name == "" || len(n.Name) > maxLabel || strings.ContainsFunc(n.Name, func(r rune) bool { return r < ' ' }) {
		return "", Token{}, fmt.Errorf("%w: a token needs a name of 1 to %d bytes, which says what it is for",
			ErrInvalid, maxLabel)
	}
	if !n.Until.IsZero() && !n.Until.After(s.now()) {
		return "", Token{}, fmt.Errorf("%w: the token would have expired at %s", ErrInvalid,
			n.Until.Format(time.RFC3339))
	}
	if !by.Role.May(Admin) && (n.Account == "" || n.Account != by.Name) {
		return "", Token{}, fmt.Errorf("%w: only an admin makes tokens for others, and tokens of no account", ErrMore)
	}
	if n.Role == "" && n.Account == "" {
		return "", Token{}, fmt.Errorf("%w: a token of no account needs a role", ErrInvalid)
	}
	if n.Role != "" || len(n.Prefixes) > 0 {
		if err := checkRole(n.Role, n.Prefixes); err != nil {
			return "", Token{}, err
		}
	}
	if n.Role != "" && !by.Role.May(n.Role) {
		return "", Token{}, fmt.Errorf("%w: the role %s may do what %s may not", ErrMore, n.Role, by.Role)
	}
	if !by.Role.May(Admin) { // what it makes ends with it, and is no more than it
		n.Role, n.Prefixes = within(n.Role, n.Prefixes, by.Role, by.Prefixes)
		if !by.Until.IsZero() && (n.Until.IsZero() || n.Until.After(by.Until)) {
			n.Until = by.Until
		}
	}
	return s.insertToken(ctx, n, by.Name)
}

func (s *Store) insertToken(ctx context.Context, n NewToken, by string) (secret string, t Token, err error) {
	secret = Mark + strings.ToLower(rand.Text()+rand.Text())
	id := strings.ToLower(rand.Text()[:12])
	err = s.change(ctx, func(tx *sql.Tx) error {
		var count int
		var known bool
		if err := tx.QueryRowContext(ctx, `SELECT count(*), EXISTS (SELECT 1 FROM accounts WHERE name = ?) FROM tokens
			WHERE coalesce(account, '') = ?`, n.Account, n.Account).Scan(&count, &known); err != nil {
			return err
		}
		if n.Account != "" && !known {
			return fmt.Errorf("account %.80q: %w", n.Account, ErrUnknown)
		}
		now := micros(s.now())
		if count >= maxTokens {
			// A login that is repeated for ever ends here only if none of its tokens has expired.
			r, err := tx.ExecContext(ctx, `DELETE FROM tokens WHERE coalesce(account, '') = ? AND expires > 0 AND
				expires <= ?`, n.Account, now)
			if err != nil {
				return err
			}
			if gone, err := r.RowsAffected(); err != nil || gone == 0 {
				return errors.Join(err, fmt.Errorf("%w: there are %d tokens already; delete some first", ErrInvalid,
					count))
			}
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO tokens (id, digest, account, name, role, prefixes, made, made_by,
			expires, used) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0)`, id, digest(secret),
			sql.NullString{String: n.Account, Valid: n.Account != ""}, n.Name, n.Role, list(n.Prefixes), now, by,
			micros(n.Until))
		return err
	})
	if err != nil {
		return "", Token{}, err
	}
	t, err = s.token(ctx, id)
	return secret, t, err
}

func digest(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

const tokenColumns = `SELECT t.id, coalesce(t.account, ''), t.name, t.role, t.prefixes, t.made, t.made_by, t.expires,
	t.used, coalesce(a.role, ''), coalesce(a.prefixes, '[]') FROM tokens t LEFT JOIN accounts a ON a.name = t.account `

// scanToken returns a token as it is kept, and who has it.
func (s *Store) scanToken(scan func(...any) error) (t Token, w Who, err error) {
	var prefixes, accounts string
	var role Role
	var made, expires, used int64
	if err := scan(&t.ID, &t.Account, &t.Name, &t.Role, &prefixes, &made, &t.MadeBy, &expires, &used, &role,
		&accounts); err != nil {
		return t, w, err
	}
	t.Prefixes, t.Made, t.Until, t.Used = unlist(prefixes), instant(made), instant(expires), instant(used)
	t.Expired = !t.Until.IsZero() && !s.now().Before(t.Until)
	if t.Account != "" {
		t.Role, t.Prefixes = within(t.Role, t.Prefixes, role, unlist(accounts))
	}
	w = Who{Name: t.Account, Role: t.Role, Prefixes: t.Prefixes, Token: t.ID, Until: t.Until}
	if w.Name == "" {
		w.Name = "token " + t.Name
	}
	return t, w, nil
}

// within is what a token with a role and patterns allows whose account has others. Of two lists of patterns it keeps
// what is in both: a pattern of the token counts if the account has it too, or "*".
func within(role Role, patterns []string, of Role, account []string) (Role, []string) {
	if role == "" {
		return of, account
	}
	both := role.both(of)
	if both != Publisher {
		return both, nil
	}
	if of == Admin {
		return both, patterns
	}
	if role == Admin {
		return both, account
	}
	var out []string
	for _, p := range patterns {
		for _, q := range account {
			switch {
			case p == q || covers(q, p):
				out = append(out, p)
			case covers(p, q):
				out = append(out, q)
			}
		}
	}
	return both, out
}

// covers says whether every name that pattern p admits is admitted by q too, where that is plain to see: q is a text
// with one "*" at its end, and p begins with that text. The part before a "/" is a part of its own.
func covers(q, p string) bool {
	start, ok := strings.CutSuffix(q, "*")
	return ok && !strings.Contains(start, "*") && strings.HasPrefix(p, start) &&
		!strings.Contains(p[len(start):], "/")
}

func (s *Store) token(ctx context.Context, id string) (Token, error) {
	t, _, err := s.scanToken(s.db.QueryRowContext(ctx, tokenColumns+"WHERE t.id = ?", id).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return t, fmt.Errorf("token %.80q: %w", id, ErrUnknown)
	}
	return t, err
}

// Find returns who has the token, and notes that it was used. Its error wraps ErrToken if the token is unknown, expired
// or deleted.
func (s *Store) Find(ctx context.Context, secret string) (Who, error) {
	if !strings.HasPrefix(secret, Mark) {
		return Who{}, ErrToken
	}
	t, w, err := s.scanToken(s.db.QueryRowContext(ctx, tokenColumns+"WHERE t.digest = ?", digest(secret)).Scan)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return Who{}, ErrToken
	case err != nil:
		return Who{}, fmt.Errorf("looking up a token: %w", err)
	case t.Expired:
		return Who{}, fmt.Errorf("%w: it expired at %s", ErrToken, t.Until.Format(time.RFC3339))
	}
	s.note(ctx, t.ID)
	return w, nil
}

// note saves the use of a token, now and then. That it cannot be saved stops no one.
func (s *Store) note(ctx context.Context, id string) {
	now := s.now()
	s.mu.Lock()
	last, ok := s.used[id]
	fresh := ok && now.Sub(last) < usedEvery
	if !fresh {
		if len(s.used) >= maxUsed {
			clear(s.used)
		}
		s.used[id] = now
	}
	s.mu.Unlock()
	if !fresh {
		_, _ = s.db.ExecContext(ctx, "UPDATE tokens SET used = ? WHERE id = ?", micros(now), id)
	}
}

// Tokens lists the tokens that by may see, the newest first: its own account's, and for an admin all. Expired ones are
// among them.
func (s *Store) Tokens(ctx context.Context, by Who) ([]Token, error) {
	rows, err := s.db.QueryContext(ctx, tokenColumns+"ORDER BY t.made DESC, t.id")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := []Token{}
	for rows.Next() {
		t, _, err := s.scanToken(rows.Scan)
		if err != nil {
			return nil, err
		}
		if by.sees(t) {
			out = append(out, t)
		}
	}
	return out, rows.Err()
}

func (w Who) sees(t Token) bool {
	return w.Role.May(Admin) || t.ID == w.Token || t.Account != "" && t.Account == w.Name
}

// DeleteToken makes a token worthless that by may see. Its error wraps ErrUnknown.
func (s *Store) DeleteToken(ctx context.Context, by Who, id string) error {
	t, err := s.token(ctx, id)
	if err == nil && !by.sees(t) {
		err = fmt.Errorf("token %.80q: %w", id, ErrUnknown)
	}
	if err != nil {
		return err
	}
	_, err = s.db.ExecContext(ctx, "DELETE FROM tokens WHERE id = ?", id)
	return err
}
