// Package history keeps what happened to the roots of a pool: which were made, switched to, started, blessed, given up
// and deleted, and why.
//
// Call Append for each event, and Read for all of them. dir is the folder griddle in the subvolume @persistent,
// "/persistent/griddle" on the installed system: so the record outlives every root.
//
// The file history.jsonl has one event on each line, in JSON, the oldest first:
//
//	{"time":"2026-11-29T10:00:00Z","kind":"failed","root":"web-2@amd64","reason":"...","lines":["..."]}
//
// It has at most 200 events and 256 KiB: the oldest ones go first. Append writes the file under another name and
// renames it, and syncs file and folder: after a power cut the event is there or not, and no other one is lost.
// Programs may call Append at the same time. Read skips lines that are not events, so a damaged file costs only those
// lines. All text is safe for a screen: it comes from the logs of systems that may be hostile.
package history

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"griddle/appliance/job"
	"griddle/imagestore/durable"

	"golang.org/x/sys/unix"
)

// File is the name of the file in its folder.
const File = "history.jsonl"

// The limits of the file, and of the lines of one event.
const (
	maxEvents = 200
	maxBytes  = 256 << 10
	maxLines  = 20
)

// Kind is what happened.
type Kind string

// The kinds of events.
const (
	Made       Kind = "made"        // the root was made of the image
	Switched   Kind = "switched"    // the machine will start the root next
	Started    Kind = "started"     // the root came up, on trial
	Blessed    Kind = "blessed"     // the root passed its trial: it is the good one now
	Failed     Kind = "failed"      // the root did not pass its trial, and another one runs
	RolledBack Kind = "rolled-back" // a person went back to the root
	Deleted    Kind = "deleted"
	Damaged    Kind = "damaged" // the image harmed what was received as the difference from it
)

// Event is one line of the history.
type Event struct {
	Time   time.Time `json:"time"` // in UTC, whole seconds
	Kind   Kind      `json:"kind"`
	Root   string    `json:"root,omitempty"`   // without "@roots/"
	Image  string    `json:"image,omitempty"`  // as in the folder @images
	Reason string    `json:"reason,omitempty"` // one sentence, at most 400 characters
	Lines  []string  `json:"lines,omitempty"`  // the end of a log, at most 20 lines of at most 400 characters
}

// Append adds an event. The zero time means now. Texts that are too long are cut, and of too many lines the first ones
// are left out. The event is durable on return.
func Append(dir *os.Root, e Event) error {
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	if err := add(dir, e.bounded()); err != nil {
		return fmt.Errorf("adding to the history of the pool: %w", err)
	}
	return nil
}

func add(dir *os.Root, e Event) error {
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	line = append(line, '\n')
	lock, err := dir.Open(".")
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return err
	}
	old, err := read(dir)
	if err != nil {
		return err
	}
	return durable.Disk{}.Replace(filepath.Join(dir.Name(), File), with(old, line), 0o644)
}

// with is the file's content after one more line.
func with(old, line []byte) []byte {
	lines := append(slices.Collect(events(old)), line)
	size := 0
	for i, l := range slices.Backward(lines) {
		if size += len(l); size > maxBytes || len(lines)-i > maxEvents {
			lines = lines[i+1:]
			break
		}
	}
	return bytes.Join(lines, nil)
}

// Read returns the events, the oldest first; none if there is no file.
func Read(dir *os.Root) ([]Event, error) {
	b, err := read(dir)
	if err != nil {
		return nil, fmt.Errorf("reading the history of the pool: %w", err)
	}
	return parse(b), nil
}

// read returns the end of the file, as much as Append leaves.
func read(dir *os.Root) ([]byte, error) {
	f, err := dir.OpenFile(File, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, errors.New(File + " is not a regular file; remove it")
	}
	from := max(0, st.Size()-maxBytes)
	return io.ReadAll(io.NewSectionReader(f, from, maxBytes))
}

// events yields the lines that are events, each with its end.
func events(b []byte) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for line := range bytes.Lines(b) {
			if _, ok := event(line); ok && !yield(line) {
				return
			}
		}
	}
}

// parse returns the events in the file's content.
func parse(b []byte) []Event {
	var out []Event
	for line := range events(b) {
		e, _ := event(line)
		out = append(out, e.bounded())
	}
	return out
}

// event reads one line. A line without an end was cut.
func event(line []byte) (Event, bool) {
	var e Event
	err := json.Unmarshal(line, &e)
	return e, err == nil && e.Kind != "" && bytes.HasSuffix(line, []byte("\n"))
}

// bounded is the event as the file may have it.
func (e Event) bounded() Event {
	e.Time = e.Time.UTC().Truncate(time.Second)
	e.Kind = Kind(job.Printable(string(e.Kind)))
	e.Root, e.Image, e.Reason = job.Sentence(e.Root), job.Sentence(e.Image), job.Sentence(e.Reason)
	e.Lines = Tail(e.Lines)
	return e
}

// Damages reports whether the event says that an image is damaged. created is when the pool got it: one that was
// received again since, under the same name, is whole. Events have whole seconds: in doubt the image is damaged.
func (e Event) Damages(image string, created time.Time) bool {
	return e.Kind == Damaged && e.Image == image && !created.Truncate(time.Second).After(e.Time)
}

// Tail is the end of a log as an event has it: lines that are empty on a screen are left out.
func Tail(lines []string) []string {
	var out []string
	for _, l := range slices.Backward(lines) {
		if l = job.Sentence(l); l != "" {
			out = append(out, l)
		}
		if len(out) == maxLines {
			break
		}
	}
	slices.Reverse(out)
	return out
}
