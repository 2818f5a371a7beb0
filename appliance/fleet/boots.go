package fleet

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"griddle/appliance/job"
)

// Proof is what a boot shows with each call: the token that its hello got, and the key that its connection proved
// (job.KeyOf), "" for none. A boot that said hello with a key proves it in all its calls, so that its token is worth
// nothing to others. An agent of an older version has no key.
type Proof struct {
	Token string
	Key   string
}

// errOtherKey is what a boot with a key answers to those who do not have it.
var errOtherKey = fmt.Errorf("%w: it belongs to a boot that said hello with another key", ErrToken)

// boot writes down the boot that says hello, with its key and its token, and says whether it is new.
func (f *Fleet) boot(ctx context.Context, tx *sql.Tx, m Machine, from string, h job.Hello,
	p Proof) (first bool, err error) {
	now := f.o.Now()
	mac := ""
	if len(h.Identity.MACs) > 0 {
		mac = h.Identity.MACs[0]
	}
	code := ""
	if p.Key != "" {
		code = newCode() // of the first hello with the key; later ones keep it
	}
	var before, key string
	err = tx.QueryRowContext(ctx, "SELECT machine, key FROM boots WHERE boot = ?", h.Boot).Scan(&before, &key)
	if first = errors.Is(err, sql.ErrNoRows); err != nil && !first {
		return false, err
	}
	if key != "" && key != p.Key {
		return false, errOtherKey
	}
	// A boot ID is random, and only its agent knows it. So a boot that says hello again is still running. If an
	// operator has named its machine by another address in the meantime, the boot now belongs to that machine.
	_, err = tx.ExecContext(ctx, `INSERT INTO boots (boot, machine, token, seq, created, used, acted, source, mac, uuid, key, code, settings, kernel, layout) VALUES (?1, ?2, ?3, 0, ?4, ?4, 0, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
		ON CONFLICT (boot) DO UPDATE SET machine = excluded.machine, token = excluded.token, used = excluded.used, acted = excluded.used, source = excluded.source, mac = excluded.mac, uuid = excluded.uuid, key = excluded.key, settings = excluded.settings, kernel = excluded.kernel, layout = excluded.layout, code = iif(code = '', excluded.code, code)`,
		h.Boot, m.ID, hash(p.Token), now.UnixNano(), from, mac, h.Identity.UUID, p.Key, code,
		slices.Contains(h.Features, job.FeatureSettings), slices.Contains(h.Features, job.FeatureKernel),
		slices.Contains(h.Features, job.FeatureLayout))
	if err != nil {
		return false, err
	}
	if !first && before != m.ID {
		if _, err := tx.ExecContext(ctx, "DELETE FROM machines WHERE id = ? AND rank = 0", before); err != nil {
			return false, err
		}
	}
	return first, f.evictBoots(ctx, tx, m, h.Boot)
}

// evictBoots forgets a machine's boots beyond the limit: first those whose tokens were not used recently, and never one
// with a live job, so that hellos in a machine's name do not end its install.
func (f *Fleet) evictBoots(ctx context.Context, tx *sql.Tx, m Machine, present string) error {
	keep := maxBoots
	if m.Rank == Sighting {
		keep = maxSeenBoots
	}
	now := f.o.Now()
	if _, err := tx.ExecContext(ctx, "DELETE FROM boots WHERE machine = ? AND used < ?", m.ID,
		now.Add(-tokenLife).UnixNano()); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `DELETE FROM boots WHERE boot IN (SELECT boot FROM boots AS b WHERE machine = ?1 AND boot <> ?2
		AND NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.machine = ?1 AND state IN ('pending', 'started') AND b.boot IN (data ->> '$.boot', data ->> '$.carrier'))
		ORDER BY acted > ?3, used, rowid LIMIT max(0, (SELECT count(*) FROM boots WHERE machine = ?1) - ?4))`,
		m.ID, present, now.Add(-underWay).UnixNano(), keep)
	return err
}

// Session is the boot that a token belongs to.
type Session struct {
	Boot    string
	Machine string // Machine.ID
	Name    string // Machine.Name
	Ordered bool   // an operator named the machine

	// Approved says that an operator approved the key of the boot for the machine.
	Approved bool

	needs bool // a rule has the boot wait for that

	// Settings says that the agent asks for settings (job.FeatureSettings), Kernel that it adds one
	// (job.FeatureKernel), and Layout that it carries out layouts (job.FeatureLayout).
	Settings bool
	Kernel   bool
	Layout   bool
}

// Session returns the boot that p proves, or ErrToken. A token expires one day after its last use.
func (f *Fleet) Session(ctx context.Context, p Proof) (s Session, err error) {
	err = f.change(ctx, func(tx *sql.Tx) error {
		s, _, err = f.session(ctx, tx, p)
		return err
	})
	return s, err
}

// session finds the boot that p proves, and notes that it was heard.
func (f *Fleet) session(ctx context.Context, tx *sql.Tx, p Proof) (s Session, seq uint64, err error) {
	now := f.o.Now()
	var rank Rank
	var key string
	err = tx.QueryRowContext(ctx, "SELECT boots.boot, boots.machine, boots.seq, boots.key, "+
		"boots.settings, boots.kernel, boots.layout, boots.needs, machines.name, machines.rank, "+approved+
		" FROM boots JOIN machines ON machines.id = "+
		"boots.machine WHERE token = ? AND used >= ?", hash(p.Token),
		now.Add(-tokenLife).UnixNano()).Scan(&s.Boot, &s.Machine, &seq, &key, &s.Settings, &s.Kernel, &s.Layout,
		&s.needs, &s.Name, &rank, &s.Approved)
	if errors.Is(err, sql.ErrNoRows) {
		return Session{}, 0, ErrToken
	}
	if err != nil {
		return Session{}, 0, err
	}
	if key != "" && key != p.Key {
		return Session{}, 0, errOtherKey
	}
	s.Ordered = rank == Ordered
	const every = 5 * time.Second // each note is a flush
	done, err := tx.ExecContext(ctx, "UPDATE boots SET used = ?1, acted = ?1 WHERE boot = ?2 AND acted < ?3",
		now.UnixNano(), s.Boot, now.Add(-every).UnixNano())
	if err != nil {
		return s, seq, err
	}
	if n, err := done.RowsAffected(); err != nil || n == 0 {
		return s, seq, err
	}
	// A job of this boot that was silent is interrupted no more.
	_, err = tx.ExecContext(ctx, "UPDATE listing SET due = 0 WHERE machine = ? AND EXISTS (SELECT 1 FROM jobs WHERE "+
		"jobs.machine = listing.machine AND jobs.origin = 'screen' AND jobs.state IN ('pending', 'started'))",
		s.Machine)
	return s, seq, err
}

// heardSince says whether the boot was heard of after since, in Unix nanoseconds.
func heardSince(ctx context.Context, tx *sql.Tx, boot string, since int64) (heard bool, err error) {
	return heard, tx.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM boots WHERE boot = ? AND used > ?)",
		boot, since).Scan(&heard)
}

// KnownAddress says whether a boot of a machine that an operator named used its token from this address, a quota.Key,
// within the last day. The rate limiter keeps a reserve for such addresses.
func (f *Fleet) KnownAddress(ctx context.Context, from string) (known bool) {
	err := f.change(ctx, func(tx *sql.Tx) error {
		return tx.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM boots JOIN machines ON machines.id = "+
			"boots.machine WHERE boots.source = ? AND boots.acted > ? AND machines.rank = 2)",
			from, f.o.Now().Add(-tokenLife).UnixNano()).Scan(&known)
	})
	return err == nil && known
}
