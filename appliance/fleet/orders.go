package fleet

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"time"

	"github.com/google/uuid"

	"griddle/appliance/job"
	"griddle/appliance/layout"
)

// Order is what an operator or a user at the screen wants a machine to do.
type Order struct {
	// "" means job.Install; a job.Relay and a job.Update need only the image, a job.Erase only Erase, and an action
	// only the kind
	Kind   job.Kind
	Image  job.Image
	Asked  string    // the image as it was asked for; "" means Image.Ref
	Kernel job.Image // for an image that has none; zero if it has one
	Disk   job.DiskRule
	Erase  string         // serial or path of the one disk whose content may be destroyed
	Level  job.EraseLevel // of an erase
	// Layout is a layout.Document, and takes the place of Disk and Erase. Plan is the hash of the plan that was agreed
	// to, "" for one that loses nothing and shrinks nothing.
	Layout   json.RawMessage
	Plan     string
	Hostname string   // "" means the machine's name; otherwise it becomes the machine's name
	Args     []string // kernel arguments of the installed system
	Reset    job.Reset
	Replace  bool // of an operator's order: cancel the machine's live job in the same step

	When       job.When // of an update: when the new root starts
	AllowOlder bool     // of an update: the image may be older than the one that runs

	Within time.Duration // of an action: the machine begins it in this time, or not at all; 0 means job.ActionWait
	Root   string        // of a rollback, see job.Spec.Root
	Argv   []string      // of a run: the program and its arguments
	Limit  int           // of a run, see job.Spec.Limit

	rule *Ruled // that orders it
}

// spec is what the order says of a job, after validate.
func (o Order) spec() job.Spec {
	s := job.Spec{Kind: cmp.Or(o.Kind, job.Install), Image: o.Image, Asked: o.Asked, Kernel: o.Kernel, Erase: o.Erase,
		Args: o.Args, Reset: o.Reset}
	switch s.Kind {
	case job.Update:
		s.When, s.AllowOlder = o.When, o.AllowOlder
	case job.Erase:
		s.Level = o.Level
	case job.Rollback:
		s.Root = o.Root
	case job.Run:
		s.Argv, s.Limit = o.Argv, o.Limit
	case job.Install:
		if o.Layout == nil {
			s.Disk, _ = job.ParseDiskRule(string(o.Disk))
			break
		}
		// Written again, so that the machine reads what was checked: not all readers take the same of two equal keys.
		d, _ := layout.Decode(o.Layout)
		s.Layout, s.Plan = json.RawMessage(encode(d)), o.Plan
	}
	return s
}

// disks says what is wrong with the disks that the order names.
func (o Order) disks() error {
	install := o.Kind == "" || o.Kind == job.Install
	switch {
	case !install && (o.Disk != "" || o.Erase != "" || o.Layout != nil):
		return fmt.Errorf("%w: a %s names no disk, but the order does", ErrInvalid, o.Kind)
	case o.Plan != "" && o.Layout == nil:
		return fmt.Errorf("%w: the order agrees to a plan, but has no layout", ErrInvalid)
	case !install:
		return nil
	case o.Layout == nil:
		if _, err := job.ParseDiskRule(string(o.Disk)); err != nil {
			return fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		return nil
	case o.Disk != "" || o.Erase != "":
		return fmt.Errorf("%w: a layout says which disks are meant and what of them is lost; leave out the disk rule "+
			"and the disk to erase", ErrInvalid)
	case o.Plan != "" && !planHash.MatchString(o.Plan):
		return fmt.Errorf("%w: %q is not the hash of a plan, which is sha256: and 64 digits from 0 to f", ErrInvalid,
			job.Printable(o.Plan))
	}
	if _, err := layout.Decode(o.Layout); err != nil {
		return fmt.Errorf("%w layout: %w", ErrInvalid, err)
	}
	return nil
}

// agreed says to what plan an order agrees.
func agreed(plan string) string {
	if plan == "" {
		return "a plan that loses nothing and shrinks nothing"
	}
	return "the plan " + plan
}

// planHash is the form of plan.Plan.Hash.
var planHash = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

func (o Order) validate() error {
	var errs []error
	if o.Image.Ref == "" && o.Kind != job.Erase && !o.Kind.IsAction() {
		errs = append(errs, fmt.Errorf("%w: the order has no image", ErrInvalid))
	}
	switch o.Kind {
	case "", job.Install, job.Relay, job.Update:
		errs = append(errs, o.disks())
	case job.Erase:
		errs = append(errs, o.validateErase())
	default:
		if o.Kind.IsAction() {
			errs = append(errs, o.disks(), o.validateAction())
			break
		}
		errs = append(errs, fmt.Errorf("%w: unknown kind of job %q", ErrInvalid, job.Printable(string(o.Kind))))
	}
	if len(o.Erase) > 256 {
		errs = append(errs, fmt.Errorf("%w: the name of the disk to erase has more than 256 bytes", ErrInvalid))
	}
	if o.Hostname != "" && !ValidHostname(o.Hostname) {
		errs = append(errs, fmt.Errorf("%w hostname %q: use letters, digits and hyphens, at most 63 between dots",
			ErrInvalid, job.Printable(o.Hostname)))
	}
	if _, err := job.ParseWhen(string(o.When)); err != nil {
		errs = append(errs, fmt.Errorf("%w: %w", ErrInvalid, err))
	}
	if _, err := job.ParseReset(string(o.Reset)); err != nil {
		errs = append(errs, fmt.Errorf("%w: %w", ErrInvalid, err))
	}
	if len(o.Asked) > 256 {
		errs = append(errs, fmt.Errorf("%w: the name of the image has more than 256 bytes", ErrInvalid))
	}
	if len(o.Args) > 64 {
		errs = append(errs, fmt.Errorf("%w: more than 64 kernel arguments", ErrInvalid))
	}
	if err := job.KernelArgs(o.Args); err != nil {
		errs = append(errs, fmt.Errorf("%w %w", ErrInvalid, err))
	}
	return errors.Join(errs...)
}

// validateErase checks an order to erase a disk: it names that, and chooses none.
func (o Order) validateErase() error {
	if strings.TrimSpace(o.Erase) == "" || o.Disk != "" {
		return fmt.Errorf("%w: an erase must name one disk, by its serial or WWN, and no rule that chooses one",
			ErrInvalid)
	}
	if o.Image.Ref != "" || o.Kernel.Ref != "" || o.Layout != nil || o.Reset != "" || len(o.Args) > 0 ||
		o.Hostname != "" {
		return fmt.Errorf("%w: an erase installs nothing, but the order has an image or something of a system",
			ErrInvalid)
	}
	if _, err := job.ParseEraseLevel(string(o.Level)); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return nil
}

// Install gives a job to the machine that key names, and makes key firm: the order goes to the boot that reports this
// address or UUID, whatever else it reports. If no machine has this key, Install makes one, but not for an update. It
// returns ErrBusy if the machine has a live job. An update that the machine has already from an operator is returned
// as it is, so that an order of many machines can be repeated; likewise an action that waits for its machine. An action
// needs a machine whose service has said that it can do that. It leaves a live update alone that waits for a restart.
func (f *Fleet) Install(ctx context.Context, key string, o Order) (m Machine, j Job, err error) {
	if err := o.validate(); err != nil {
		return m, j, err
	}
	err = f.change(ctx, func(tx *sql.Tx) error {
		m, j, err = f.install(ctx, tx, key, o)
		return err
	})
	if err == nil {
		f.grown()
	}
	return m, j, err
}

// install is Install in tx, of an order that is valid.
func (f *Fleet) install(ctx context.Context, tx *sql.Tx, key string, o Order) (m Machine, j Job, err error) {
	if o.Kind.IsAction() {
		return f.act(ctx, tx, key, o)
	}
	if o.Kind == job.Update {
		if _, err := byKey(ctx, tx, key); err != nil {
			return m, j, err
		}
	}
	if m, err = f.named(ctx, tx, key); err != nil {
		return m, j, err
	}
	jobs, err := jobsOf(ctx, tx, m.ID)
	if err != nil {
		return m, j, err
	}
	if o.Kind == job.Update && m.Deployed == nil && m.Service == nil && system(jobs) == nil {
		return m, j, fmt.Errorf("%w: %s has no system that could be updated; install it with `griddle machine "+
			"install`", ErrInvalid, m.Name)
	}
	if o.Kind == job.Update && m.Service == nil {
		return m, j, fmt.Errorf("%w: no service on %s has checked in, and only that can report an update; a system "+
			"that has just started checks in soon, and one without the service cannot report: install it again; /home "+
			"and /persistent stay", ErrInvalid, m.Name)
	}
	if l := ordered(jobs); l != nil && !o.Replace && o.asks(*l) {
		return m, *l, nil
	}
	if err := f.endLiveJobs(ctx, tx, m, jobs, o.Replace); err != nil {
		return m, j, err
	}
	j, err = f.order(ctx, tx, &m, o, Operator, "")
	return m, j, err
}

// asks says whether the order is for the very update that the job is.
func (o Order) asks(j Job) bool {
	want, have := o.spec(), j.Spec
	// What is not the order's, and the way to the image, which may be another one by now.
	have.ID, have.Hostname, have.Pool, have.Kexec = "", "", "", false
	if want.Reset == "" { // it stays as it is
		have.Reset = ""
	}
	for _, s := range []*job.Spec{&want, &have} {
		s.Image = job.Image{Ref: s.Image.Ref, Document: s.Image.Document}
		s.Kernel = job.Image{Ref: s.Kernel.Ref, Document: s.Kernel.Document}
	}
	return want.Kind == job.Update && reflect.DeepEqual(want, have)
}

// endLiveJobs ends the live jobs of m for what an operator wants of it. One that waits for m or is under way ends only
// where replace says so.
func (f *Fleet) endLiveJobs(ctx context.Context, tx *sql.Tx, m Machine, jobs []Job, replace bool) error {
	now := f.o.Now().UTC()
	if err := f.lapse(ctx, tx, jobs); err != nil {
		return err
	}
	for _, l := range jobs {
		if !l.Live() {
			continue
		}
		over := l.interrupt(now)
		if l.Origin == Operator && !replace {
			return fmt.Errorf("%w: the job of %s for %s is %s", ErrBusy, m.Name, l.what(), l.State)
		}
		if l.Origin == Resident || l.Origin == ByRule {
			over = l.fail("an operator's order takes the place of what the machine asked for")
			if l.Origin == ByRule {
				over = l.fail("an operator's order takes the place of what a rule ordered")
			}
			over.Changed = now
		}
		heard, err := heardSince(ctx, tx, l.carrier(), now.Add(-silence).UnixNano())
		if err != nil {
			return err
		}
		if heard && !replace {
			who := "a user at the screen of " + m.Name + " is installing "
			if l.Origin == ByRule {
				who = "by a rule " + m.Name + " is installing "
			}
			return fmt.Errorf("%w: %s%s", ErrBusy, who, l.what())
		}
		if replace {
			if over, err = l.Cancel(now); err != nil {
				return err
			}
		}
		if err := f.end(ctx, tx, over); err != nil {
			return err
		}
	}
	return nil
}

// end writes down a job that was ended from here, and says so in the journal.
func (f *Fleet) end(ctx context.Context, tx *sql.Tx, j Job) error {
	if err := saveJob(ctx, tx, j); err != nil {
		return err
	}
	return f.note(ctx, tx, j, job.Warning, j.Message)
}

// order makes a job for m in tx, on which none is live that is in its way.
func (f *Fleet) order(ctx context.Context, tx *sql.Tx, m *Machine, o Order, origin Origin, boot string) (Job, error) {
	if err := inUse(*m); err != nil {
		return Job{}, err
	}
	if o.Hostname != "" && o.Hostname != m.Name {
		if err := takeName(ctx, tx, o.Hostname, m.ID); err != nil {
			return Job{}, err
		}
		m.Name = o.Hostname
	}
	spec := o.spec()
	spec.ID, spec.Hostname = uuid.NewString(), m.Name
	jobs, err := jobsOf(ctx, tx, m.ID)
	if err != nil {
		return Job{}, err
	}
	what := fmt.Sprintf("job: relay %s to the network of this machine", o.Image.Ref)
	switch spec.Kind {
	case job.Update:
		spec.Reset = cmp.Or(o.Reset, m.Service.Reset()) // an agent that does not know it would make an ordinary root
		// The GUID of its disk's table. After an install at the screen it is not certain which disk it starts from.
		if s, last := system(jobs), lastDone(jobs); s != nil && s.Spec.ID == last.Spec.ID {
			spec.Pool = s.Spec.ID
		}
		what = fmt.Sprintf("job: update to %s", o.Image.Ref)
	case job.Install:
		spec.Pools = pools(jobs)
		what = fmt.Sprintf("job: install %s on disk %s", o.Image.Ref, spec.Disk)
		if spec.Layout != nil {
			what = fmt.Sprintf("job: install %s by a layout, with %s", o.Image.Ref, agreed(spec.Plan))
		}
	case job.Erase:
		what = fmt.Sprintf("job: erase disk %s", job.Sentence(spec.Erase))
	case job.Reboot:
		what = "job: restart the machine"
	case job.Rollback:
		what = "job: go back to " + cmp.Or(spec.Root, "the root before")
	case job.Run:
		what = "job: run " + job.Words(spec.Argv)
	}
	if spec.Kind.IsAction() {
		spec.Until = f.o.Now().Add(cmp.Or(o.Within, job.ActionWait)).UTC()
	}
	if spec.Kexec, err = f.mayKexec(ctx, tx, *m, spec.Kind); err != nil {
		return Job{}, err
	}
	now := f.o.Now().UTC()
	j := Job{
		Spec:    spec,
		Machine: m.ID, Origin: origin, By: by(ctx), Rule: o.rule, Boot: boot, State: job.Pending,
		Created: now, Changed: now,
	}
	if err := save(ctx, tx, *m); err != nil {
		return Job{}, err
	}
	_, err = tx.ExecContext(ctx,
		"INSERT INTO jobs (id, machine, origin, state, created, data) VALUES (?, ?, ?, ?, ?, ?)",
		j.Spec.ID, m.ID, j.origin(), string(j.State), now.UnixNano(), encode(j))
	if err != nil {
		return Job{}, err
	}
	if err := forgetJobs(ctx, tx, *m); err != nil {
		return Job{}, err
	}
	who := "on the " + map[Origin]string{Operator: "command line", Screen: "screen", Resident: "machine"}[origin]
	if o.rule != nil {
		who = "by rule " + o.rule.Name
	}
	return j, f.note(ctx, tx, j, job.Info, fmt.Sprintf("%s (requested %s)", what, who))
}

// forgetJobs keeps the newest of a machine's jobs, those that are live, and the last of each origin that wrote a system
// to a disk, which say what the machine boots: a machine that chooses and fails in turns must not fill the disk, and
// each of its calls reads all its jobs. Actions are counted for themselves: a room that restarts each night keeps its
// updates.
func forgetJobs(ctx context.Context, tx *sql.Tx, m Machine) error {
	keep := maxJobs
	if m.Rank != Ordered {
		keep = maxScreenJobs
	}
	const last = "AND rowid NOT IN (SELECT rowid FROM jobs WHERE machine = ?1 AND origin = '%s' AND data ->> " +
		"'$.spec.started' <> '' AND data ->> '$.spec.kind' <> 'erase' ORDER BY rowid DESC LIMIT 1)"
	const newest = "AND rowid NOT IN (SELECT rowid FROM jobs WHERE machine = ?1 AND origin %s 'action' ORDER BY " +
		"rowid DESC LIMIT %s) "
	_, err := tx.ExecContext(ctx, "DELETE FROM jobs WHERE machine = ?1 AND state NOT IN ('pending', 'started') "+
		fmt.Sprintf(newest, "<>", "?2")+fmt.Sprintf(newest, "=", "?3")+fmt.Sprintf(last, Operator)+
		fmt.Sprintf(last, Screen)+fmt.Sprintf(last, ByRule), m.ID, keep, maxActions)
	return err
}

// Cancel cancels the live job of the machine that key names: an operator's job if there is one, else a screen's. It
// returns ErrOver if the machine has no live job.
func (f *Fleet) Cancel(ctx context.Context, key string) (j Job, err error) {
	err = f.change(ctx, func(tx *sql.Tx) error {
		m, err := byKey(ctx, tx, key)
		if err != nil {
			return err
		}
		jobs, err := jobsOf(ctx, tx, m.ID)
		if err != nil {
			return err
		}
		l := ordered(jobs)
		if l == nil {
			l = live(jobs, func(Job) bool { return true })
		}
		if l == nil {
			return fmt.Errorf("%w: %s has no job that waits or runs", ErrOver, m.Name)
		}
		if j, err = l.Cancel(f.o.Now().UTC()); err != nil {
			return err
		}
		return f.end(ctx, tx, j)
	})
	if err == nil {
		f.grown()
	}
	return j, err
}
