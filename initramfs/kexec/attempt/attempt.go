// Package attempt keeps what became of a machine's last start by kexec, so that a machine on which it does not work
// tries it once, and not again.
//
// The system that starts another one calls Write before the jump. Every system calls Settle when it comes up: the word
// on its command line says whether it came by that jump. Read gives the answer.
//
// The file kexec.json in the folder griddle of the subvolume @persistent has one attempt, in JSON:
//
//	{"time":"2026-11-29T10:00:00Z","vendor":"Dell Inc.","product":"OptiPlex 7090","root":"web-2@amd64",
//	 "kernel":"boot/vmlinuz-6.1.0-50-amd64","boot":"8f2b1c34-...","state":"tried"}
//
// It is replaced as a whole, durably. An attempt that no system settled is followed by a start through the firmware:
// the one who finds that out settles it as failed. A file that is not valid JSON counts as missing. Removing it makes
// the machine try again.
package attempt

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"griddle/appliance/job"
	"griddle/imagestore/durable"
)

// File is the name of the file in its folder.
const File = "kexec.json"

// maxFile bounds the file, in bytes.
const maxFile = 64 << 10

// Word is on the kernel's command line of a system that was started by kexec.
const Word = "griddle.kexec"

// State is what became of an attempt.
type State string

// The states of an attempt.
const (
	Tried  State = "tried"  // the jump is about to happen, or did
	Worked State = "worked" // the system came up
	Failed State = "failed" // it did not: the machine was started by its firmware next
)

// Model is a kind of machine, as its firmware names it.
type Model struct {
	Vendor  string `json:"vendor,omitempty"`
	Product string `json:"product,omitempty"`
}

// Attempt is one start by kexec.
type Attempt struct {
	Time time.Time `json:"time"` // in UTC, whole seconds
	Model
	Root   string `json:"root"`   // without "@roots/"
	Kernel string `json:"kernel"` // its path in the root
	Boot   string `json:"boot"`   // Start.Boot of the system that jumped
	State  State  `json:"state"`
}

// Start is how a system was started.
type Start struct {
	Boot        string // the kernel's boot_id: another one at each start (random(4))
	CommandLine string // of the kernel
}

// Here is the start of the system that runs.
func Here() Start {
	read := func(file string) string {
		b, _ := os.ReadFile(file)
		return strings.TrimSpace(string(b))
	}
	return Start{Boot: read("/proc/sys/kernel/random/boot_id"), CommandLine: read("/proc/cmdline")}
}

// ThisModel is what the firmware of this machine says in sys, which is /sys. What it does not say is "".
func ThisModel(sys fs.FS) Model {
	read := func(name string) string {
		b, _ := fs.ReadFile(sys, "class/dmi/id/"+name)
		return job.Sentence(string(b))
	}
	return Model{Vendor: read("sys_vendor"), Product: read("product_name")}
}

// Settle finds out what became of the last attempt, and returns it; nil if there was none. Only an attempt that is not
// settled changes, and none that this system itself made: its jump is to come. What changes is durable on return.
func Settle(dir *os.Root, s Start) (*Attempt, error) {
	a, err := Read(dir)
	if err != nil || a == nil || a.State != Tried || a.Boot == s.Boot {
		return a, err
	}
	a.State = Failed
	if slices.Contains(strings.Fields(s.CommandLine), Word) {
		a.State = Worked
	}
	return a, Write(dir, *a)
}

// Read returns the last attempt, nil if there was none.
func Read(dir *os.Root) (*Attempt, error) {
	f, err := dir.OpenFile(File, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading what became of kexec: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return nil, fmt.Errorf("reading what became of kexec: %w", err)
	}
	return parse(b), nil
}

// parse is nil for what no Write wrote.
func parse(b []byte) *Attempt {
	var a Attempt
	if json.Unmarshal(b, &a) != nil || !slices.Contains([]State{Tried, Worked, Failed}, a.State) {
		return nil
	}
	a = a.bounded()
	return &a
}

// bounded is the attempt with text that is safe for a screen.
func (a Attempt) bounded() Attempt {
	a.Time = a.Time.UTC().Truncate(time.Second)
	for _, s := range []*string{&a.Vendor, &a.Product, &a.Root, &a.Kernel, &a.Boot} {
		*s = job.Sentence(*s)
	}
	return a
}

// Write keeps an attempt in place of the one before. It is durable on return.
func Write(dir *os.Root, a Attempt) error {
	b, err := json.MarshalIndent(a.bounded(), "", "  ")
	if err == nil {
		err = durable.Disk{}.Replace(filepath.Join(dir.Name(), File), append(b, '\n'), 0o644)
	}
	if err != nil {
		return fmt.Errorf("writing that kexec is tried: %w", err)
	}
	return nil
}

// Restore keeps an earlier attempt again, or none if it is nil: the one after it did not happen.
func Restore(dir *os.Root, a *Attempt) error {
	if a != nil {
		return Write(dir, *a)
	}
	d := durable.Disk{}
	err := d.Remove(filepath.Join(dir.Name(), File))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = d.SyncDir(dir.Name())
	}
	if err != nil {
		return fmt.Errorf("removing that kexec is tried: %w", err)
	}
	return nil
}
