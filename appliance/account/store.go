package account

import (
	"context"
	"database/sql"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

const (
	schemaVersion = 1 // the number of the newest file in migrations
	busyMillis    = 10_000
)

//go:embed migrations/*.sql
var migrations embed.FS

// Store keeps accounts, tokens and the audit log.
type Store struct {
	db      *sql.DB
	now     func() time.Time
	guesses *guesses
	hashing chan struct{} // has one place, for the password that is being hashed
	queue   chan struct{} // has a place for each that waits for that

	mu   sync.Mutex
	used map[string]time.Time // tokens by ID, and when their last use was saved
}

// Open opens the file, and makes it if it does not exist, mode 0600. now is the clock; nil means time.Now.
func Open(ctx context.Context, file string, now func() time.Time) (*Store, error) {
	fail := func(err error) (*Store, error) { return nil, fmt.Errorf("opening %s: %w", file, err) }
	if now == nil {
		now = time.Now
	}
	// SQLite gives the files that it makes beside this one the same mode.
	made, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fail(err)
	}
	made.Close()
	q := url.Values{"_pragma": {
		"journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)", fmt.Sprintf("busy_timeout(%d)", busyMillis),
	}, "_txlock": {"immediate"}}
	db, err := sql.Open("sqlite",
		(&url.URL{Scheme: "file", Opaque: (&url.URL{Path: file}).EscapedPath(), RawQuery: q.Encode()}).String())
	if err != nil {
		return fail(err)
	}
	// One connection: SQLite has one writer anyway, so calls wait here and not in busy_timeout.
	db.SetMaxOpenConns(1)
	s := &Store{db: db, now: now, guesses: newGuesses(), hashing: make(chan struct{}, 1),
		queue: make(chan struct{}, waiting), used: map[string]time.Time{}}
	if err := s.migrate(ctx); err != nil {
		return fail(errors.Join(err, db.Close()))
	}
	return s, nil
}

// Close waits for running calls and closes the file.
func (s *Store) Close() error { return s.db.Close() }

// migrate brings the file to schemaVersion, each step in one transaction.
func (s *Store) migrate(ctx context.Context) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, s.db, files, goose.WithDisableGlobalRegistry(true),
		goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return err
	}
	have, err := p.GetDBVersion(ctx)
	if err != nil {
		return err
	}
	if have > schemaVersion {
		return fmt.Errorf("it has version %d, and this program can read versions up to %d: "+
			"use the program that wrote it", have, schemaVersion)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("upgrading it from version %d to %d: %w", have, schemaVersion, err)
	}
	return nil
}

// change runs do in a transaction that is on the disk when it returns nil.
func (s *Store) change(ctx context.Context, do func(*sql.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := do(tx); err != nil {
		return err
	}
	return tx.Commit()
}

func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func instant(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micros).UTC()
}

// list and unlist are how lists are kept.
func list(v []string) string {
	if len(v) == 0 {
		return "[]"
	}
	b, _ := json.Marshal(v) // strings always can
	return string(b)
}

func unlist(s string) (v []string) {
	_ = json.Unmarshal([]byte(s), &v) // list made it
	if len(v) == 0 {
		return nil
	}
	return v
}
