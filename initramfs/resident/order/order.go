// Package order hands an update from the service, or from a person, to the unit that carries it out, and what comes of
// it back; likewise an action of the server, such as a restart.
//
// Call Open. The service calls Give with a job of the server, and Situation.Report for each check-in. The unit calls
// Waiting, then Tell while it works, and End when it is done: after that the order is gone.
//
// The files, each JSON and each written whole under another name and renamed, so that a power cut leaves the old or the
// new one:
//
//	/persistent/griddle/order.json      Order    Give writes it, End, Clean and Withdraw remove it
//	/persistent/griddle/update.json     Result   End writes it; the service only reads it
//	/persistent/griddle/begun.json      Begun    Begin writes it, before the machine does what an action says
//	/persistent/griddle/acted.json      Result   of the last action, as update.json
//	/persistent/griddle/reported.json   Reported what the server has heard; only the service writes it
//	/run/griddle/update.json            Progress Tell writes it; gone with the next start of the machine
//	/run/griddle/roots.json             the roots of the pool, for the service, which cannot read the pool itself
//
// End writes the result before it removes the order. A power cut between the two leaves an order that is over: Waiting
// does not return it. A file that is not valid JSON counts as missing, except the order and begun.json: those are
// errors, which end the order.
package order

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"griddle/appliance/job"
	"griddle/imagestore/durable"
	"griddle/initramfs/pool/history"

	"golang.org/x/sys/unix"
)

// Names of the files.
const (
	orderFile    = "order.json"
	resultFile   = "update.json"
	begunFile    = "begun.json"
	actedFile    = "acted.json"
	reportedFile = "reported.json"
	rootsFile    = "roots.json"
)

// Run is the folder of what does not outlive a start of the machine.
const Run = "/run/griddle"

// maxFile bounds each file, in bytes.
const maxFile = 1 << 20

// ErrDamaged is wrapped by Waiting if there is an order that cannot be read, and by Begun.
var ErrDamaged = errors.New("the file cannot be read")

// Order is an update or an action that waits.
type Order struct {
	Spec  job.Spec  `json:"spec"`
	Given time.Time `json:"given"`
}

// State is what became of an order.
type State string

// The states of a Result.
const (
	Switched State = "switched" // the new root is made, and the machine starts it next
	Current  State = "current"  // the system that runs is of this image already
	Failed   State = "failed"   // nothing was switched; of an action, it was not done, or not all of it
	Done     State = "done"     // of an action
)

// Result is what became of the last order.
type Result struct {
	Job     string    `json:"job"`
	Image   string    `json:"image"`          // its reference: "web:20261120.1@amd64"
	Root    string    `json:"root,omitempty"` // the new one
	State   State     `json:"state"`
	Phase   job.Phase `json:"phase"`             // the last one
	Message string    `json:"message,omitempty"` // one line for people
	Boot    string    `json:"boot"`              // the kernel's boot_id when it ended
	Time    time.Time `json:"time"`
	Ran     *job.Ran  `json:"ran,omitempty"` // of a run
}

// Progress is what the unit does now.
type Progress struct {
	Job      string        `json:"job"`
	Image    string        `json:"image"`
	Phase    job.Phase     `json:"phase"`
	Message  string        `json:"message,omitempty"` // the last event, one line for people
	Progress *job.Progress `json:"progress,omitempty"`
	Time     time.Time     `json:"time"`
}

// Reported is what the server has heard.
type Reported struct {
	Switched string    `json:"switched,omitempty"` // the last job of which it knows that the next start takes its root
	Job      string    `json:"job,omitempty"`      // the last one whose end was reported
	Failed   time.Time `json:"failed,omitzero"`    // of the newest root that failed
	Restarts string    `json:"restarts,omitempty"` // the last action of which it knows that the machine restarts for it
	Acted    string    `json:"acted,omitempty"`    // the last action whose end was reported
}

// Files are the files. Programs may use them at the same time.
type Files struct {
	dir, run string
	disk     durable.Disk
}

// Open names the folders: dir is durable, run is not.
func Open(dir, run string) Files { return Files{dir: dir, run: run} }

// OpenOn is Open with the file operations of disk.
func OpenOn(disk durable.Disk, dir, run string) Files { return Files{dir, run, disk} }

// Waiting returns the order that has to be carried out, nil if there is none: an order that was ended does not count.
// An error wraps ErrDamaged if the order is not valid.
func (f Files) Waiting() (*Order, error) {
	var o Order
	err := f.read(f.dir, orderFile, &o)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil && o.Spec.ID == "" {
		err = fmt.Errorf("%w: it names no job", ErrDamaged)
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", filepath.Join(f.dir, orderFile), err)
	}
	if f.ended(o) {
		return nil, nil
	}
	return &o, nil
}

// Give leaves an order, in place of the one before. It is durable on return.
func (f Files) Give(o Order) error {
	if err := f.alone(func() error { return f.write(f.dir, orderFile, o) }); err != nil {
		return fmt.Errorf("leaving the order for %s: %w", o.What(), err)
	}
	return nil
}

// Withdraw removes the order of a job; another one stays. The unit that carries it out stops.
func (f Files) Withdraw(id string) error {
	return f.remove(func(o Order, damaged bool) bool { return !damaged && o.Spec.ID == id })
}

// Clean removes an order that has ended, or cannot be read.
func (f Files) Clean() error {
	return f.remove(func(o Order, damaged bool) bool { return damaged || o.Spec.ID == "" || f.ended(o) })
}

// ended says whether there is a result of an order.
func (f Files) ended(o Order) bool {
	r := f.Result()
	if o.Spec.Kind.IsAction() {
		r = f.Acted()
	}
	return r != nil && r.Job == o.Spec.ID
}

// What is an order for people, such as "an update to web:2@amd64".
func (o Order) What() string {
	switch k := o.Spec.Kind; {
	case k == job.Reboot:
		return "a restart"
	case k == job.Rollback:
		return "a rollback"
	case k == job.Run:
		return "a program of the server"
	case k.IsAction():
		return "an action of the kind " + job.Printable(string(k))
	}
	return "an update to " + job.Printable(o.Spec.Image.Ref)
}

// End says what became of an order, and removes it, if no other one took its place. It is durable on return. If the
// result cannot be written, the order stays.
func (f Files) End(r Result) error {
	if err := f.end(resultFile, r); err != nil {
		return fmt.Errorf("recording what became of the update: %w", err)
	}
	return nil
}

func (f Files) end(file string, r Result) error {
	r.Message = job.Sentence(r.Message)
	err := f.write(f.dir, file, r)
	if err == nil {
		err = f.Clean()
	}
	if err != nil {
		return err
	}
	f.Still()
	return nil
}

// remove removes the order if it is one that goes. It is durable on return.
func (f Files) remove(goes func(o Order, damaged bool) bool) error {
	err := f.alone(func() error {
		var o Order
		err := f.read(f.dir, orderFile, &o)
		damaged := errors.Is(err, ErrDamaged)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil && !damaged:
			return err
		case !goes(o, damaged):
			return nil
		}
		if err := f.disk.Remove(filepath.Join(f.dir, orderFile)); err != nil {
			return err
		}
		return f.disk.SyncDir(f.dir)
	})
	if err != nil {
		return fmt.Errorf("removing the order: %w", err)
	}
	return nil
}

// alone calls do while no other program changes the order: one that comes between a look at the order and its removal
// would be lost.
func (f Files) alone(do func() error) error {
	lock, err := os.Open(f.dir)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return err
	}
	return do()
}

// Result returns what became of the last order, nil if there was none.
func (f Files) Result() *Result { return load[Result](f, f.dir, resultFile) }

// Tell leaves what the unit does now. It is not durable, and an error is of no use to anyone.
func (f Files) Tell(p Progress) {
	p.Message = job.Sentence(p.Message)
	b, err := json.Marshal(p)
	if err != nil {
		return
	}
	_ = f.brief(resultFile, b)
}

// Still says that the unit does nothing.
func (f Files) Still() { _ = os.Remove(filepath.Join(f.run, resultFile)) }

// Progress returns what the unit does now, nil for nothing.
func (f Files) Progress() *Progress { return load[Progress](f, f.run, resultFile) }

// TellRoots leaves what the pool has.
func (f Files) TellRoots(all []job.Root) error {
	b, err := json.Marshal(all)
	if err != nil {
		return err
	}
	return f.brief(rootsFile, b)
}

// Roots returns what TellRoots left since the machine started.
func (f Files) Roots() []job.Root {
	if l := load[[]job.Root](f, f.run, rootsFile); l != nil {
		return *l
	}
	return nil
}

// Report records what the server has heard. It is durable on return.
func (f Files) Report(r Reported) error {
	if err := f.write(f.dir, reportedFile, r); err != nil {
		return fmt.Errorf("recording what the server has heard: %w", err)
	}
	return nil
}

// Reported returns what the server has heard; the zero value for nothing.
func (f Files) Reported() Reported {
	if r := load[Reported](f, f.dir, reportedFile); r != nil {
		return *r
	}
	return Reported{}
}

// Changed is a text that differs when a file that the service reports has changed.
func (f Files) Changed() string {
	var out strings.Builder
	for _, path := range []string{filepath.Join(f.dir, orderFile), filepath.Join(f.dir, resultFile),
		filepath.Join(f.dir, actedFile), filepath.Join(f.dir, history.File), filepath.Join(f.run, resultFile)} {
		if st, err := os.Lstat(path); err == nil {
			fmt.Fprintln(&out, st.Size(), st.ModTime().UnixNano())
		} else {
			fmt.Fprintln(&out)
		}
	}
	return out.String()
}

func load[T any](f Files, dir, name string) *T {
	var v T
	if f.read(dir, name, &v) != nil {
		return nil
	}
	return &v
}

func (f Files) read(dir, name string, v any) error {
	b, err := f.disk.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return err
	}
	if len(b) > maxFile {
		return fmt.Errorf("%w: it has %d bytes", ErrDamaged, len(b))
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return nil
}

func (f Files) write(dir, name string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return f.disk.Replace(filepath.Join(dir, name), append(b, '\n'), 0o600)
}

// brief writes a file that does not outlive the machine's next start.
func (f Files) brief(name string, b []byte) error {
	if err := os.MkdirAll(f.run, 0o755); err != nil {
		return err
	}
	t, err := os.CreateTemp(f.run, "."+name+"-")
	if err != nil {
		return err
	}
	_, err = t.Write(b)
	if err = errors.Join(err, t.Close()); err == nil {
		err = os.Rename(t.Name(), filepath.Join(f.run, name))
	}
	if err != nil {
		return errors.Join(err, os.Remove(t.Name()))
	}
	return nil
}
