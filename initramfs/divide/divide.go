// Package divide carries out a plan for the disks of a machine (package plan): it changes their tables, shrinks
// filesystems and makes new ones.
//
// Call Run with a plan. It does the steps in their order, and keeps a journal, by which a later Run continues after a
// crash: give it the entries in Options.Past. Each step is one of
//
//	look -> record "begun" -> do -> record "done"
//
// Before each step Run looks at the disks again. The disk must be the planned one, by serial, WWN and size and not by
// name; its table must have exactly the entries that the plan says, and the partition the filesystem that the plan
// says. Otherwise Run stops, and says what differs. All looks that write nothing come first in a plan, and before them
// Run checks that every program is there that the plan needs.
//
// What a crash leaves of a step that had begun, and how the next Run recognises it:
//
//	check, save-table  nothing was written
//	shrink-filesystem  packages ntfs and resize say what, and recognise it
//	set-size, add-entry, set-type
//	                   the table of before, that of after, or one of them in each copy of a GPT: then the disk gets
//	                   that of before, and the step is done again
//	make-table         the disk as it was; or the mark of the job in its last sector (content.BegunSector); or a table
//	                   with the ID that the journal has
//	clear              the partition as it was; or the mark of the job in its first sector; or it is cleared
//	encrypt            nothing that is known; or a volume with the UUID that the journal has. It is made again
//	make-filesystem, make-mirror
//	                   nothing that is known; or a filesystem with the UUID that the journal has. It is made again
//
// Anything else was put there by someone else: Run stops. It never guesses.
//
// It guarantees: it writes to no other disk than those of the plan, and to no byte of a partition that stays. The
// partition that a step writes to is opened by its own device file, so that a program cannot write beside it. Every
// write is on the disk before the step is recorded as done. While a disk is divided, its name cannot go to another one,
// because Run keeps it open.
package divide

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"griddle/appliance/job"
	"griddle/appliance/layout/plan"
)

// ErrChanged is wrapped by errors that say that a disk is not as the plan says. Nothing more was written.
var ErrChanged = errors.New("the disk is not as it was planned")

// Options say what is carried out. All fields but Past, Progress and Tools are required.
type Options struct {
	Job     string // ID of the job, a UUID in lower case
	Plan    plan.Plan
	Past    []Entry // of an earlier Run of this job, in their order
	Journal Journal
	// Find looks at all disks of the machine now, as for the plan.
	Find     func(context.Context) ([]job.Disk, error)
	Sys      string         // where sysfs is mounted
	Progress func(Progress) // may be nil
	// Tools gets programs that the plan needs and that cannot be run, before anything is written. nil gets none.
	Tools func(ctx context.Context, programs ...string) error
	// Passphrase and Recovery open what the plan encrypts, or has encrypted: the passphrase, and the recovery keys of
	// the machine, of which what is made gets the first one. A plan that needs one which is missing is refused.
	Passphrase []byte
	Recovery   [][]byte

	wrap func(*os.File) device // of tests, which cut off the writes of a run
	cost []string              // of tests: luks.Volume.Cost
}

// Progress is how far a Run is.
type Progress struct {
	Step, Steps int    // from 1 on
	Text        string // what is done, as the plan says it
	Phase       string // of a step that takes long, such as "moving data"; else ""
	Percent     float64
}

// Run carries out a plan, or the rest of it, and says what the disks have then. It is durable on return. An error says
// which step failed; a Run with the entries of the journal continues there, unless the error wraps ErrChanged or a
// refusal of package ntfs: then a person has to do what it says first.
func Run(ctx context.Context, o Options) (Made, error) {
	r, err := start(ctx, o)
	if err != nil {
		return Made{}, err
	}
	defer r.close()
	made, err := r.all(ctx)
	if err != nil {
		return Made{}, errors.Join(err, r.letGo(ctx))
	}
	return made, nil
}

// all does the steps that are not done.
func (r *run) all(ctx context.Context) (Made, error) {
	if err := r.letGoBefore(ctx); err != nil {
		return Made{}, err
	}
	for i := range r.plan.Steps {
		if r.past[i].done {
			continue
		}
		if err := r.step(ctx, i); err != nil {
			return Made{}, fmt.Errorf("step %d of %d, %s: %w", i+1, len(r.plan.Steps), r.text(i), err)
		}
	}
	return r.made(ctx)
}

// run is one Run.
type run struct {
	Options
	plan plan.Plan
	past []past // of each step
	held map[string]*held
	// shrunkNow are the steps that shrank a filesystem in this Run: no system can have used it since.
	shrunkNow map[int]bool
	volumes   volumes
}

// start checks the plan and the journal, and records the plan if the journal has nothing.
func start(ctx context.Context, o Options) (*run, error) {
	r := &run{Options: o, plan: o.Plan, held: map[string]*held{}, shrunkNow: map[int]bool{}}
	if err := o.Plan.Verify(); err != nil {
		return nil, err
	}
	for _, s := range o.Plan.Steps {
		if !known(s) {
			return nil, fmt.Errorf("step %q of the plan is not known: nothing was written; it needs a newer version "+
				"of Griddle", s.Do)
		}
	}
	var err error
	if r.past, err = history(o.Past, o.Job, o.Plan); err != nil {
		return nil, err
	}
	if err := r.programs(ctx); err != nil {
		return nil, err
	}
	if err := r.secrets(ctx); err != nil {
		return nil, err
	}
	if len(o.Past) == 0 {
		if err := r.record(ctx, Entry{Plan: &r.plan}); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// step does one step.
func (r *run) step(ctx context.Context, i int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s := r.plan.Steps[i]
	do := verbs()[s.Do] // start knows all of them
	r.say(i, "", 0)
	if s.Volume != "" {
		if err := volumeVerbs()[s.Do](ctx, r, i); err != nil {
			return err
		}
		return r.record(context.WithoutCancel(ctx), Entry{Step: i + 1, State: Done})
	}
	h, err := r.find(ctx, s.Disk)
	if err != nil {
		return err
	}
	if s.Do == plan.MakeTable {
		h.sample(ctx)
	}
	// What an interruption leaves of the others is more than a condition can say.
	again := r.past[i].begun
	switch {
	case !again, s.Do == plan.CheckFilesystem, s.Do == plan.SaveTable, s.Do == plan.ShrinkFilesystem:
		err = r.holds(i, s, h.disk)
	case s.Do == plan.Clear, s.Do == plan.Encrypt, s.Do == plan.MakeFilesystem, s.Do == plan.MakeMirror:
		err = r.holdsTable(i, s, h.disk)
	}
	if err != nil {
		return err
	}
	if err := do(ctx, r, i, h); err != nil {
		return err
	}
	return r.record(context.WithoutCancel(ctx), Entry{Step: i + 1, State: Done})
}

// verb does step i on a disk. It records that the step has begun before it writes, and on return everything is on the
// disk. Where the journal says that the step had begun before, it recognises what that left.
type verb func(ctx context.Context, r *run, i int, h *held) error

func verbs() map[plan.Verb]verb {
	return map[plan.Verb]verb{
		plan.CheckFilesystem:  checkFilesystem,
		plan.SaveTable:        saveTable,
		plan.ShrinkFilesystem: shrinkFilesystem,
		plan.SetSize:          edit,
		plan.MakeTable:        makeTable,
		plan.AddEntry:         edit,
		plan.SetType:          edit,
		plan.Clear:            clearPartition,
		plan.Encrypt:          encrypt,
		plan.MakeFilesystem:   makeFilesystem,
		plan.MakeMirror:       makeMirror,
	}
}

// known says whether this program can do a step.
func known(s plan.Step) bool {
	if s.Volume == "" {
		return verbs()[s.Do] != nil
	}
	return volumeVerbs()[s.Do] != nil && slices.Contains([]plan.Kind{plan.Raid1, plan.Group, plan.Logical}, s.Kind)
}

// planned is the disk of the plan with an ID of the layout.
func (r *run) planned(id string) plan.Disk {
	for _, d := range r.plan.Disks {
		if d.ID == id {
			return d
		}
	}
	return plan.Disk{} // Plan.Verify finds a step without a disk
}

// text is what step i does, in words.
func (r *run) text(i int) string {
	s := r.plan.Steps[i]
	return fmt.Sprintf("%s: %s", s.Of(), s)
}

func (r *run) say(i int, phase string, percent float64) {
	if r.Progress != nil {
		r.Progress(Progress{Step: i + 1, Steps: len(r.plan.Steps), Text: r.text(i), Phase: phase, Percent: percent})
	}
}
