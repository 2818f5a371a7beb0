package account

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Outcome is how a call ended.
type Outcome string

// The outcomes. A call without an entry for its end was under way when the server stopped.
const (
	Begun   Outcome = "begun"
	Done    Outcome = "done"
	Refused Outcome = "refused" // the caller may not do it, or what it asks for cannot be done
	Failed  Outcome = "failed"  // the server's fault
)

// Entry is a line of the audit log. It has neither bodies nor secrets. Entries form a chain: Digest is the SHA-256 of
// the entry's JSON without Digest, and each entry has the digest of the one before. So an entry that was changed, added
// or removed shows, except at the end: keep the newest digest elsewhere.
type Entry struct {
	Seq     int64     `json:"seq"` // 1, 2, 3 …
	At      time.Time `json:"at"`  // UTC, to the microsecond
	Who     string    `json:"who"` // name of the account, "token NAME", or admin.token
	Role    Role      `json:"role,omitempty"`
	Token   string    `json:"token,omitempty"` // ID
	From    string    `json:"from,omitempty"`  // address
	Call    string    `json:"call"`            // method and path, with places for what On has
	On      string    `json:"on,omitempty"`    // what it is about: a machine, an account, an image
	Of      int64     `json:"of,omitempty"`    // number of the entry of the call that ended with this one
	Outcome Outcome   `json:"outcome"`
	Status  int       `json:"status,omitempty"` // of HTTP
	Prev    string    `json:"prev"`             // digest of the entry before; "" for the first
	Digest  string    `json:"digest,omitempty"`
}

// digest is what Digest has to be.
func (e Entry) digest() string {
	e.Digest = ""
	b, _ := json.Marshal(e) // it has nothing that cannot be
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// ErrChain is wrapped by Check where the log is not what was written.
var ErrChain = errors.New("the audit log was changed afterwards")

// Check says whether these entries follow each other and the one before, of which it has number and digest: 0 and ""
// before the first. It returns those of the last one.
func Check(seq int64, prev string, entries []Entry) (int64, string, error) {
	for _, e := range entries {
		if e.Seq != seq+1 {
			return seq, prev, fmt.Errorf("%w: entry %d comes after entry %d", ErrChain, e.Seq, seq)
		}
		if e.Prev != prev || e.Digest != e.digest() {
			return seq, prev, fmt.Errorf("%w: entry %d does not have the digest that it should have", ErrChain, e.Seq)
		}
		seq, prev = e.Seq, e.Digest
	}
	return seq, prev, nil
}

// Call is one that was begun.
type Call struct {
	s     *Store
	entry Entry
}

// Begin writes that a call begins; it is on the disk when Begin returns nil. The error wraps ErrAudit: then the call
// must not be done. Who, Role, Token, From, Call and On of e count.
func (s *Store) Begin(ctx context.Context, e Entry) (*Call, error) {
	e.Outcome, e.Status, e.Of = Begun, 0, 0
	e, err := s.append(ctx, e)
	if err != nil {
		return nil, err
	}
	return &Call{s, e}, nil
}

// End writes how the call ended. on replaces what the call is about, if that is known only now; "" keeps it.
func (c *Call) End(ctx context.Context, o Outcome, status int, on string) error {
	e := c.entry
	e.Of, e.Outcome, e.Status = e.Seq, o, status
	if on != "" {
		e.On = on
	}
	_, err := c.s.append(context.WithoutCancel(ctx), e)
	return err
}

// Note writes one entry about what is over already, such as a login.
func (s *Store) Note(ctx context.Context, e Entry) error {
	e.Of = 0
	_, err := s.append(ctx, e)
	return err
}

func (s *Store) append(ctx context.Context, e Entry) (Entry, error) {
	err := s.change(ctx, func(tx *sql.Tx) error {
		var last Entry
		var text string
		err := tx.QueryRowContext(ctx, "SELECT entry FROM audit ORDER BY seq DESC LIMIT 1").Scan(&text)
		if err == nil {
			err = json.Unmarshal([]byte(text), &last)
		}
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		e.Seq, e.At, e.Prev = last.Seq+1, s.now().UTC().Truncate(time.Microsecond), last.Digest
		e.Digest = e.digest()
		b, err := json.Marshal(e)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "INSERT INTO audit (seq, entry) VALUES (?, ?)", e.Seq, string(b))
		return err
	})
	if err != nil {
		return e, fmt.Errorf("%w: %w", ErrAudit, err)
	}
	return e, nil
}

// Entries returns up to limit entries with numbers above after, in their order.
func (s *Store) Entries(ctx context.Context, after int64, limit int) ([]Entry, error) {
	rows, err := s.db.QueryContext(ctx, "SELECT entry FROM audit WHERE seq > ? ORDER BY seq LIMIT ?", after, limit)
	if err != nil {
		return nil, fmt.Errorf("reading the audit log: %w", err)
	}
	defer rows.Close()
	out := []Entry{}
	for rows.Next() {
		var text string
		var e Entry
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		if err := json.Unmarshal([]byte(text), &e); err != nil {
			return nil, fmt.Errorf("reading the audit log: %w", err)
		}
		out = append(out, e)
	}
	return out, rows.Err()
}

// OutcomeOf is the outcome of a call with this status of HTTP, 0 for none.
func OutcomeOf(status int) Outcome {
	switch {
	case status >= 200 && status < 400:
		return Done
	case status >= 400 && status < 500:
		return Refused
	}
	return Failed
}
