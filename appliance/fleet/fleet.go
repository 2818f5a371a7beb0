// Package fleet knows the machines, what is to be done with them, and what happened: Open it, give it to netboot as
// its Booter, and let the API call Hello, Choose, Append and Home for agents and the rest for operators.
//
// A machine is recognised as Machine describes; a job goes through the states of Job.Apply, and at most one job of a
// machine is live. State is one SQLite file, with these tables:
//
//	machines  id, name, uuid, named (an operator or an agent has spoken of it), seen, data (Machine as JSON)
//	macs      mac, machine
//	jobs      id, machine, state, created, data (Job as JSON)
//	boots     boot, machine, token (SHA-256), seq (highest event in the journal), created
//	homes     token (SHA-256), job, created
//	events    id (ascending), machine, job, boot, seq, progress, received, data (job.Event as JSON)
//
// Durability: the file is in WAL mode with synchronous=FULL, so a call that changes something and returns nil has
// been flushed to the disk, and survives a power cut; one that returns an error has changed nothing. Boot is the
// exception that promises nothing: a machine that is only sighted may be forgotten.
//
// All methods may be called from several goroutines; they are carried out one after the other.
package fleet

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"sync"
	"time"

	_ "modernc.org/sqlite" // the "sqlite" driver
)

// Errors that callers branch on.
var (
	ErrUnknown   = errors.New("no such machine")
	ErrAmbiguous = errors.New("several machines fit")
	ErrBusy      = errors.New("machine has a live job")
	ErrToken     = errors.New("token is not valid")
	ErrInvalid   = errors.New("not valid")
)

// Policy is what a machine boots for which nothing is to be done and nothing was installed.
type Policy string

// The policies.
const (
	OfferMenu  Policy = "menu"
	StartAgent Policy = "agent"
	BootLocal  Policy = "local"
)

// Options is the part of the configuration that the fleet needs. The zero value works.
type Options struct {
	Unknown  Policy           // "" means OfferMenu
	Hostname string           // pattern of Hostname; "" means "node-{mac}"
	Kernel   string           // path of the agent's kernel below the HTTP server; "" means "/boot/vmlinuz"
	Initrds  []string         // nil means "/boot/initramfs" and "/boot/site.cpio"
	Args     []string         // further arguments of the agent's kernel
	Now      func() time.Time // nil means time.Now
}

// Fleet is the state of all machines.
type Fleet struct {
	db *sql.DB
	o  Options

	mu      sync.Mutex
	changed chan struct{} // closed when the journal grows
}

// The journal's and the tables' bounds.
const (
	maxMachines    = 20000
	maxSighted     = 1024 // machines that were only seen asking to boot
	maxBoots       = 16   // boots of one machine whose tokens and numbers are kept
	maxHomes       = 16   // one-time tokens of one job
	maxJobs        = 100  // jobs of one machine
	maxEventsKept  = 20000
	schemaVersion  = 1
	busyMillis     = 5000
	defaultPattern = "node-{mac}"
)

const schema = `
CREATE TABLE machines (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, uuid TEXT NOT NULL, named INTEGER NOT NULL, seen INTEGER NOT NULL, data TEXT NOT NULL) STRICT;
CREATE INDEX machines_uuid ON machines (uuid);
CREATE TABLE macs (mac TEXT NOT NULL, machine TEXT NOT NULL REFERENCES machines(id) ON DELETE CASCADE, PRIMARY KEY (mac, machine)) STRICT;
CREATE TABLE jobs (id TEXT PRIMARY KEY, machine TEXT NOT NULL REFERENCES machines(id) ON DELETE CASCADE, state TEXT NOT NULL, created INTEGER NOT NULL, data TEXT NOT NULL) STRICT;
CREATE INDEX jobs_machine ON jobs (machine);
CREATE UNIQUE INDEX jobs_live ON jobs (machine) WHERE state IN ('pending', 'started');
CREATE TABLE boots (boot TEXT PRIMARY KEY, machine TEXT NOT NULL REFERENCES machines(id) ON DELETE CASCADE, token TEXT NOT NULL UNIQUE, seq INTEGER NOT NULL, created INTEGER NOT NULL) STRICT;
CREATE TABLE homes (token TEXT PRIMARY KEY, job TEXT NOT NULL REFERENCES jobs(id) ON DELETE CASCADE, created INTEGER NOT NULL) STRICT;
CREATE TABLE events (id INTEGER PRIMARY KEY AUTOINCREMENT, machine TEXT NOT NULL REFERENCES machines(id) ON DELETE CASCADE, job TEXT NOT NULL, boot TEXT NOT NULL, seq INTEGER NOT NULL, progress INTEGER NOT NULL, received INTEGER NOT NULL, data TEXT NOT NULL) STRICT;
CREATE INDEX events_machine ON events (machine, id);
`

// Open opens the state in file, or makes it.
func Open(ctx context.Context, file string, o Options) (*Fleet, error) {
	if o.Unknown == "" {
		o.Unknown = OfferMenu
	}
	if o.Hostname == "" {
		o.Hostname = defaultPattern
	}
	if o.Kernel == "" {
		o.Kernel = "/boot/vmlinuz"
	}
	if o.Initrds == nil {
		o.Initrds = []string{"/boot/initramfs", "/boot/site.cpio"}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	// SQLite gives the files that it makes beside this one the same mode.
	made, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", file, err)
	}
	made.Close()
	q := url.Values{"_pragma": {
		"journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)", fmt.Sprintf("busy_timeout(%d)", busyMillis),
	}, "_txlock": {"immediate"}}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: file}).EscapedPath(), RawQuery: q.Encode()}).String())
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", file, err)
	}
	// One connection: SQLite has one writer anyway, and what waits does so here and not in busy_timeout.
	db.SetMaxOpenConns(1)
	f := &Fleet{db: db, o: o, changed: make(chan struct{})}
	if err := f.migrate(ctx); err != nil {
		db.Close()
		return nil, fmt.Errorf("opening %s: %w", file, err)
	}
	return f, nil
}

// Close waits for calls under way and closes the file.
func (f *Fleet) Close() error { return f.db.Close() }

func (f *Fleet) migrate(ctx context.Context) error {
	return f.change(ctx, func(tx *sql.Tx) error {
		var have int
		if err := tx.QueryRowContext(ctx, "PRAGMA user_version").Scan(&have); err != nil {
			return err
		}
		switch {
		case have > schemaVersion:
			return fmt.Errorf("it has version %d, and this program knows up to %d: use the program that wrote it", have, schemaVersion)
		case have == 0:
			if _, err := tx.ExecContext(ctx, schema); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", schemaVersion))
		return err
	})
}

// change runs do in a transaction that is on the disk when it returns nil.
func (f *Fleet) change(ctx context.Context, do func(*sql.Tx) error) error {
	tx, err := f.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := do(tx); err != nil {
		return err
	}
	return tx.Commit()
}

func encode(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		// Only values that came out of encoding/json, or that this package made, are encoded.
		panic(fmt.Sprintf("fleet: encoding %T: %v", v, err))
	}
	return string(b)
}

// grown wakes everybody who waits for the journal.
func (f *Fleet) grown() {
	f.mu.Lock()
	defer f.mu.Unlock()
	close(f.changed)
	f.changed = make(chan struct{})
}

// growth is closed at the journal's next growth.
func (f *Fleet) growth() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.changed
}
