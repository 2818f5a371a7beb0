package fleet

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"griddle/appliance/job"
)

// Enrolment says which machines the server takes, and which boots get jobs.
type Enrolment string

// The values of Enrolment.
const (
	EnrolOpen    Enrolment = "open"    // every machine, and every boot of it
	EnrolApprove Enrolment = "approve" // every machine; a boot gets a job after an operator approved it
	EnrolClosed  Enrolment = "closed"  // only machines that an operator named
)

// Errors of enrolment.
var (
	ErrClosed     = errors.New("this server takes no new machines")
	ErrUnapproved = errors.New("an operator has not approved this boot")
	ErrCode       = errors.New("the code does not match")
	ErrGuesses    = errors.New("too many wrong codes")
)

// Limits of approval. A code has 40 random bits.
const (
	maxKeys    = 16 // approved keys that are kept of one machine
	maxGuesses = 10 // wrong codes of one machine within guessTime
	guessTime  = time.Hour
	codeLength = 8
	codeDigits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ" // Crockford's base32, without I, L, O and U
)

// newCode makes the code of a boot, as its screen shows it.
func newCode() string {
	b := make([]byte, codeLength)
	rand.Read(b) // it never fails
	for i := range b {
		b[i] = codeDigits[b[i]%32]
	}
	return string(b[:codeLength/2]) + "-" + string(b[codeLength/2:])
}

// normalCode is the code that a person typed: case, hyphens and spaces do not matter, O is 0, I and L are 1.
func normalCode(typed string) (string, error) {
	code := strings.NewReplacer("-", "", " ", "", "O", "0", "I", "1", "L", "1").Replace(strings.ToUpper(typed))
	if len(code) != codeLength || strings.Trim(code, codeDigits) != "" {
		// What was typed is not repeated: the journal and logs never have a code.
		return "", fmt.Errorf("%w: a code is 8 letters and digits, such as 7K4M-QX2D; read it from the machine's "+
			"screen", ErrInvalid)
	}
	return code[:codeLength/2] + "-" + code[codeLength/2:], nil
}

// mayWork says whether a boot may have jobs of its machine. A rule can ask for more than the enrolment, and never for
// less.
func (f *Fleet) mayWork(s Session) bool {
	return s.Approved || f.options().Enrolment != EnrolApprove && !s.needs
}

// takes returns ErrClosed where the server takes neither the machine that was recognised nor the key.
func (f *Fleet) takes(ctx context.Context, tx *sql.Tx, m Machine, key string) error {
	if f.options().Enrolment != EnrolClosed || m.Rank == Ordered {
		return nil
	}
	var known bool
	err := tx.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM keys WHERE key = ?1 AND key <> '')", key).Scan(&known)
	if err == nil && !known {
		err = fmt.Errorf("%w (enrolment: closed); an operator names a machine with `griddle machine install` and its "+
			"MAC address", ErrClosed)
	}
	return err
}

// approved says whether an operator approved the key of the boot for the machine that it belongs to now.
const approved = "EXISTS (SELECT 1 FROM keys WHERE keys.machine = boots.machine AND keys.key = boots.key)"

// await notes that a boot waits for an operator, once in the journal, and returns its code: "" for one without a key.
func (f *Fleet) await(ctx context.Context, tx *sql.Tx, m Machine, boot, from string) (code string, err error) {
	var since int64
	err = tx.QueryRowContext(ctx, "SELECT code, waiting FROM boots WHERE boot = ?", boot).Scan(&code, &since)
	if err != nil || code == "" {
		return "", err
	}
	now := f.o.Now()
	if _, err := tx.ExecContext(ctx, "UPDATE boots SET waiting = ? WHERE boot = ?", now.UnixNano(), boot); err != nil {
		return "", err
	}
	if since != 0 {
		return code, nil
	}
	if err := f.keyOfOther(ctx, tx, m, boot, from); err != nil {
		return "", err
	}
	return code, f.journal(ctx, tx, m.ID, "", job.Event{Time: now.UTC(), Level: job.Info, Message: job.Sentence(
		fmt.Sprintf("the boot at %s waits for approval: `griddle machine approve %s CODE` with the code on its screen",
			place(from), m.Name))})
}

// keyOfOther warns that a boot proves the key of another machine: perhaps its disk was moved.
func (f *Fleet) keyOfOther(ctx context.Context, tx *sql.Tx, m Machine, boot, from string) error {
	var other string
	err := tx.QueryRowContext(ctx, "SELECT name FROM machines JOIN keys ON keys.machine = machines.id WHERE "+
		"machines.id <> ? AND keys.key = (SELECT key FROM boots WHERE boot = ?) ORDER BY name LIMIT 1", m.ID,
		boot).Scan(&other)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	return f.journal(ctx, tx, m.ID, "", job.Event{Time: f.o.Now().UTC(), Level: job.Warning, Message: job.Sentence(
		fmt.Sprintf("the boot at %s says that it is this machine, and proves the key of %s; if the disk of %s was "+
			"moved to this machine, approve it", place(from), other, other))})
}

// WaitingBoot is a boot that waits for an operator. It has no code: the operator reads that from the machine's screen.
// Anyone who copied it from here would approve a boot without having seen the machine.
type WaitingBoot struct {
	Since time.Time `json:"since"` // its first hello
	From  string    `json:"from"`  // its address, as a quota.Key
	MAC   string    `json:"mac,omitempty"`
	UUID  string    `json:"uuid,omitempty"`
}

// waitingBoots lists the boots of a machine that wait and were heard lately, the oldest first.
func (f *Fleet) waitingBoots(ctx context.Context, tx *sql.Tx, m Machine) (out []WaitingBoot, err error) {
	rows, err := tx.QueryContext(ctx, "SELECT created, source, mac, uuid FROM boots WHERE machine = ? AND waiting > ? "+
		"AND NOT "+approved+" ORDER BY created, boot LIMIT ?", m.ID, f.o.Now().Add(-silence).UnixNano(), maxBoots)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var b WaitingBoot
		var since int64
		if err := rows.Scan(&since, &b.From, &b.MAC, &b.UUID); err != nil {
			return nil, err
		}
		b.Since = time.Unix(0, since).UTC()
		out = append(out, b)
	}
	return out, rows.Err()
}

// Approve approves the boot of the machine that key names whose screen shows code: its key is kept for the machine,
// which an operator has now named. ErrCode means that no boot of this machine that was heard within ten minutes has the
// code; that is in the machine's journal, and ten such codes within an hour are ErrGuesses.
func (f *Fleet) Approve(ctx context.Context, key, code string) (m Machine, err error) {
	if code, err = normalCode(code); err != nil {
		return m, err
	}
	var wrong error
	err = f.change(ctx, func(tx *sql.Tx) error {
		if m, err = byKey(ctx, tx, key); err != nil {
			return err
		}
		if err := f.mayGuess(ctx, tx, m); err != nil {
			return err
		}
		boot, proved, err := f.bootWithCode(ctx, tx, m, code)
		if err != nil {
			return err
		}
		if boot == "" {
			wrong = fmt.Errorf("%w: no boot of %s shows it now; read it from the machine's screen again", ErrCode,
				m.Name)
			return f.guessed(ctx, tx, m)
		}
		return f.keep(ctx, tx, &m, boot, proved)
	})
	if err == nil {
		f.grown()
	}
	return m, errors.Join(err, wrong)
}

// mayGuess fails where too many codes for m were wrong within the last hour.
func (f *Fleet) mayGuess(ctx context.Context, tx *sql.Tx, m Machine) error {
	_, err := tx.ExecContext(ctx, "DELETE FROM guesses WHERE machine = ? AND time <= ?", m.ID,
		f.o.Now().Add(-guessTime).UnixNano())
	if err != nil {
		return err
	}
	var n int
	if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM guesses WHERE machine = ?", m.ID).Scan(&n); err != nil {
		return err
	}
	if n >= maxGuesses {
		return fmt.Errorf("%w: %d codes for %s did not match within an hour; wait, and find out who tries them "+
			"(`griddle machine log %s`)", ErrGuesses, n, m.Name, m.Name)
	}
	return nil
}

// guessed notes a wrong code.
func (f *Fleet) guessed(ctx context.Context, tx *sql.Tx, m Machine) error {
	now := f.o.Now()
	if _, err := tx.ExecContext(ctx, "INSERT INTO guesses (machine, time) VALUES (?, ?)", m.ID,
		now.UnixNano()); err != nil {
		return err
	}
	return f.journal(ctx, tx, m.ID, "", job.Event{Time: now.UTC(), Level: job.Warning,
		Message: "an operator gave a code for approval that no boot of this machine shows"})
}

// bootWithCode finds the boot of m with the code, and its key. How long that takes does not depend on the code.
func (f *Fleet) bootWithCode(ctx context.Context, tx *sql.Tx, m Machine, code string) (boot, key string, err error) {
	rows, err := tx.QueryContext(ctx, "SELECT boot, key, code FROM boots WHERE machine = ? AND key <> '' AND used > ?",
		m.ID, f.o.Now().Add(-silence).UnixNano())
	if err != nil {
		return "", "", err
	}
	defer rows.Close()
	for rows.Next() {
		var b, k, c string
		if err := rows.Scan(&b, &k, &c); err != nil {
			return "", "", err
		}
		if subtle.ConstantTimeCompare([]byte(c), []byte(code)) == 1 {
			boot, key = b, k
		}
	}
	return boot, key, rows.Err()
}

// keep binds the key of a boot to m.
func (f *Fleet) keep(ctx context.Context, tx *sql.Tx, m *Machine, boot, key string) error {
	now := f.o.Now()
	if err := f.promote(ctx, tx, m); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO keys (machine, key, approved) VALUES (?, ?, ?) ON CONFLICT "+
		"(machine, key) DO UPDATE SET approved = excluded.approved", m.ID, key, now.UnixNano()); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "DELETE FROM keys WHERE machine = ?1 AND key NOT IN (SELECT key FROM keys WHERE "+
		"machine = ?1 ORDER BY approved DESC, rowid DESC LIMIT ?2)", m.ID, maxKeys); err != nil {
		return err
	}
	var from string
	if err := tx.QueryRowContext(ctx, "SELECT source FROM boots WHERE boot = ?", boot).Scan(&from); err != nil {
		return err
	}
	return f.journal(ctx, tx, m.ID, "", job.Event{Time: now.UTC(), Level: job.Info,
		Message: job.Sentence(fmt.Sprintf("an operator approved the boot at %s, key %.16s", place(from), key))})
}
