// Package fleet stores the machines, their jobs and what happened. Call Open, give the Fleet to netboot as its Booter
// and Observer, and let the API call Hello, Choose, Append and Home for agents and the other methods for operators.
//
// # Who may give orders
//
// Anyone on the network can say anything about any machine, so what they say is only a claim. A machine has a Rank. A
// Sighting is only a claim. A Touched machine had a boot with a token that asked for a job. An Ordered machine was
// named by an operator. Claims make, change and end sightings. On machines of a higher rank they change only what is
// shown. What an operator named (an address, a UUID) is firm: it belongs to that one machine, an order goes to the boot
// that reports it, and another UUID reported with it changes nothing. A claim that contradicts is shown as a Conflict;
// the operator resolves it with Delete, Rename or Merge.
//
// An operator's job waits for its machine, decides what the machine boots, and is sent again after a power cut. A job
// that was chosen on a screen belongs to the boot that chose it: no other boot gets it, it does not change what the
// machine boots next, and the end of one boot does not end another. If that boot is silent for ten minutes, the job is
// shown as interrupted. If it had started to write, its mark is on the disk, and the next boot that reports the mark (a
// random job ID that only the disk and this file have) may Continue it.
//
// What a machine boots (see decide): the agent, if it has an operator's live job; its disk, if an operator's job was
// the last to write to it; else what the policy says. So a deployed machine whose user started an install on its screen
// and did not finish it boots as before, from its disk. A machine that was only installed from its screen gets the
// menu, whose default is the disk.
//
// With EnrolApprove a boot gets no job before an operator has compared the code on its screen (Approve). That binds the
// key of the boot to the machine; the token of a boot works only over connections with its key. A boot that already
// carries out a job continues, whatever Reconfigure changes.
//
// While one boot carries out an operator's job, reports on that job from another boot of the machine wait until the
// first boot was silent for a minute, so that a stranger who claims to be the machine cannot end the job.
//
// # Updates
//
// An update names no disk, and two may carry it out: a boot from the network, as for an install, and the service of the
// installed system, which the key of its machine proves. The service gets it with the answer to a check-in. A boot ends
// its part with PhaseSwitch; from then on the machine boots its disk. Only the service says that the new root runs and
// proved itself, and then the image is deployed; or that an earlier root runs again, and then the update has failed. A
// key speaks for its own machine: it finds no job of another. A machine may also ask for an update itself (AskUpdate);
// like a choice on a screen that changes nothing that it boots.
//
// # Rules
//
// What a machine gets for which no one has given an order, the rules of the site say (package rule). They decide what a
// machine boots for which no job decides, in the place of the policy, and which boots wait for an operator. The job of
// a rule is like an operator's: it waits for its machine, is sent again after a power cut, and decides what the machine
// boots. But there is at most one for each machine and each version of a rule, only for a machine without a system, and
// none that allows the loss of data. The API makes it when the machine says hello (Follow), or notes why it does not
// (StopRule).
//
// # Orders for many
//
// An order for many machines (package order) is made by MakeOrder. The server calls StepOrder for each of LiveOrders
// when the journal grows and every few seconds, and carries out what that says. GiveOrdered makes the job of a machine
// and notes it in the order in one transaction: wherever the server is killed, a machine has its job once or not yet.
//
// # Actions
//
// An action, such as a restart, is for the service alone, which the key of its machine proves: no boot gets one or can
// report one. It waits for its machine for a time, and is taken back then.
//
// # State
//
// State is one SQLite file. The numbered files in migrations make its tables; goose (github.com/pressly/goose) records
// in goose_db_version which have run, and user_version has the same number for programs without goose. Version 1 had no
// goose table: the first migration makes only what is missing, so to run all of them upgrades such a file. A file of a
// newer version is refused. testdata/versions has a file of each version; all later programs must open them.
//
//	machines     id, name, uuid, firm (its UUID), rank, source, seen, data (Machine as JSON)
//	macs         mac, machine, firm; a firm one has one machine
//	inventories  machine, updated, size, data (job.Inventory as JSON)
//	jobs         id, machine, origin ("action" of an operator's action), state, created, data (Job as JSON)
//	boots        boot, machine, token (SHA-256), seq (highest event in the journal), created, used, acted, source, mac,
//	             uuid, key (see Proof), code (of its screen), waiting (for an operator: when last), settings (its agent
//	             asks for them), given (the job whose settings it got last), kernel (its agent can add one), layout
//	             (its agent carries out layouts), needs (a rule has it wait for an operator)
//	keys         machine, key, approved: the keys that an operator approved
//	installs     machine, key, job, time: the key of the boot that last installed it, see CheckIn
//	begun        machine, key, job, time: the keys of boots that began an install, see beganBy
//	guesses      machine, time: codes that matched no boot
//	settings     machine, sealed (setting.Document as JSON, see Sealer), changed
//	recovery     id, machine, sealed (RecoveryKey.Key), made, given, job, renew: see Recover
//	homes        token (SHA-256), job, boot, created
//	events       id (ascending), machine, job, boot, seq, progress, received, size, data (job.Event as JSON),
//	             who (see By)
//	recorded     job, count and bytes of its records, changed
//	records      job, number (from 1), data: what its boots keep here, see Record
//	rules        one row: changed, data (rule.Document as JSON)
//	ruled        machine, rule (rule.Rule.ID), job, stopped, booted, changed: what a rule did to a machine
//	orders       id, live, created, data (order.Order as JSON, without its machines)
//	order_machines order_id, place, machine, state, job, data (order.Machine as JSON)
//	groups       name, data (Group as JSON), sealed (its settings, as those of machines), changed
//	tags         machine, tag
//	listing      machine, and what lists of machines are chosen by: a copy, see mark and List
//
// What strangers can make it store is limited, see bounds.go. While the file system has less than Options.Spare free,
// strangers add nothing.
//
// Durability: the file is in WAL mode with synchronous=FULL. A call that changes something and returns nil has flushed
// the change to the disk, and it survives a power cut. A call that returns an error has changed nothing. Boot, Seen and
// Refused promise nothing: a machine that is only a sighting may be forgotten.
//
// All methods may be called from several goroutines; they run one after the other.
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
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
	"modernc.org/sqlite" // also the "sqlite" driver
	sqlite3 "modernc.org/sqlite/lib"
)

// Errors that callers branch on.
var (
	ErrUnknown   = errors.New("no such machine")
	ErrAmbiguous = errors.New("several machines match")
	ErrBusy      = errors.New("machine has a live job")
	ErrToken     = errors.New("token is not valid")
	ErrInvalid   = errors.New("not valid")
	ErrFull      = errors.New("no room for another unknown machine")
	ErrDiskFull  = errors.New("the state disk is full")
	ErrSealed    = errors.New("settings cannot be opened")
	ErrNoGroup   = errors.New("no such group")
	ErrFits      = errors.New("settings do not fit") // wrapped by what callers of Relabel and ChangeGroup refuse
	ErrRetired   = errors.New("the machine is retired")
)

// Policy is what a machine boots that has no job and no installed system.
type Policy string

// The values of Policy.
const (
	OfferMenu  Policy = "menu"
	StartAgent Policy = "agent"
	BootLocal  Policy = "local"
)

// Options is the part of the configuration that the fleet needs. The zero value works.
type Options struct {
	Unknown   Policy           // "" means OfferMenu
	Enrolment Enrolment        // "" means EnrolOpen
	Hostname  string           // pattern of Hostname; "" means "node-{mac}"
	Kernel    string           // path of the agent's kernel below the HTTP server; "" means "/boot/vmlinuz"
	Initrds   []string         // nil means "/boot/initramfs" and "/boot/site.cpio"
	Args      []string         // further arguments of the agent's kernel
	Now       func() time.Time // nil means time.Now
	Sealer    Sealer           // nil: machines have no settings of their own
	CheckIn   time.Duration    // the interval of check-ins, in whole seconds; 0 means 5 minutes
	Kexec     Kexec            // "" means KexecUpdates
	Runs      Runs             // "" means RunsAdmins

	// KeepEvents is how long entries of journals are kept at least within their limits, see bounds.go; 0 is for ever.
	KeepEvents time.Duration

	// Spare is how many bytes of the file system must stay free: with less, unknown machines are not recorded. Zero
	// means 16 MiB.
	Spare int64
}

// Fleet is the state of all machines. Open makes one.
type Fleet struct {
	db    *sql.DB
	file  string
	o     Options
	newer atomic.Pointer[Options] // of Reconfigure
	max   totals

	ruling sync.Mutex // of SetRules
	rules  atomic.Pointer[Rules]

	stored int64 // bytes of inventories and events since bounds were enforced; within change

	mu      sync.Mutex
	changed chan struct{} // closed when the journal grows

	unwritten map[string]Refusal // by address; see Refused
}

const (
	busyMillis     = 5000
	defaultPattern = "node-{mac}"
	defaultSpare   = 16 << 20
)

// Open opens the state in file, and creates the file if it does not exist.
func Open(ctx context.Context, file string, o Options) (*Fleet, error) {
	f, err := openFile(ctx, file, o)
	if err != nil {
		return nil, err
	}
	none := func(tx *sql.Tx) error { return f.forgetOld(ctx, tx) } // and what a migration marked is listed
	if err := errors.Join(f.checkSealed(ctx), f.checkRecovery(ctx), f.loadRules(ctx),
		f.change(ctx, none)); err != nil {
		return nil, errors.Join(fmt.Errorf("opening %s: %w", file, err), f.Close())
	}
	return f, nil
}

func openFile(ctx context.Context, file string, o Options) (*Fleet, error) {
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
	if o.Spare == 0 {
		o.Spare = defaultSpare
	}
	if o.CheckIn == 0 {
		o.CheckIn = defaultCheckIn
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
	db, err := sql.Open("sqlite",
		(&url.URL{Scheme: "file", Opaque: (&url.URL{Path: file}).EscapedPath(), RawQuery: q.Encode()}).String())
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", file, err)
	}
	// One connection: SQLite has one writer anyway, so calls wait here and not in busy_timeout.
	db.SetMaxOpenConns(1)
	f := &Fleet{db: db, file: file, o: o, max: defaultTotals(), changed: make(chan struct{}),
		unwritten: map[string]Refusal{}}
	if err := f.migrate(ctx); err != nil {
		db.Close()
		return nil, fmt.Errorf("opening %s: %w", file, diskFull(err))
	}
	return f, nil
}

// Close waits for running calls and closes the file.
func (f *Fleet) Close() error { return f.db.Close() }

// change runs do in a transaction that is on the disk when it returns nil.
func (f *Fleet) change(ctx context.Context, do func(*sql.Tx) error) error {
	tx, err := f.db.BeginTx(ctx, nil)
	if err != nil {
		return diskFull(err)
	}
	defer tx.Rollback()
	if err := do(tx); err != nil {
		return diskFull(err)
	}
	if err := f.enlistMarked(ctx, tx); err != nil {
		return diskFull(err)
	}
	return diskFull(tx.Commit())
}

// diskFull adds ErrDiskFull to SQLite's error if the disk is full.
func diskFull(err error) error {
	var e *sqlite.Error
	if errors.As(err, &e) && e.Code()&0xff == sqlite3.SQLITE_FULL || errors.Is(err, unix.ENOSPC) {
		return fmt.Errorf("%w: %w", ErrDiskFull, err)
	}
	return err
}

func encode(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		// Only values that came out of encoding/json, or that this package made, are encoded.
		panic(fmt.Sprintf("fleet: encoding %T: %v", v, err))
	}
	return string(b)
}

// grown wakes all calls that wait for the journal.
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
