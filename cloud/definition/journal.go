package definition

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"griddle/cloud/diskimage"
	"griddle/cloud/yamltree"
	"griddle/imagestore/durable"
)

// Kind is what a step does.
type Kind string

// The kinds of steps.
const (
	KindImage    Kind = "image"    // finds the image in the catalog
	KindDisk     Kind = "disk"     // makes an output
	KindFile     Kind = "file"     // puts it where people look for it
	KindRegister Kind = "register" // registers it with a target
)

// State is the progress of a step.
type State string

// The states.
const (
	Started State = "started" // and not ended: it runs, or was killed
	Done    State = "done"
	Failed  State = "failed"
)

// Step is one step of a build. Its ID says what it is made from: with the same ID it need not be done again.
type Step struct {
	ID      string    `json:"id"`
	Kind    Kind      `json:"kind"`
	Output  string    `json:"output,omitempty"`
	What    string    `json:"what"` // the reference, the format, the path or the target
	State   State     `json:"state"`
	Skipped bool      `json:"-"`                // it was done before
	Name    string    `json:"name,omitempty"`   // under which it is registered, or of the file
	Result  string    `json:"result,omitempty"` // the image's digest, the disk's, the path, or the target's ID
	Error   string    `json:"error,omitempty"`  // of a failed one
	Begun   time.Time `json:"begun"`
	Ended   time.Time `json:"ended,omitzero"`
}

// journal is the file of one definition, locked.
type journal struct {
	b      *Builder
	file   string
	Steps  []Step `json:"steps"`
	unlock func()
}

const maxJournal = 16 << 20

func (b *Builder) open(ctx context.Context, name string) (*journal, error) {
	if !isName(name) {
		return nil, fmt.Errorf("%s is not the name of a definition", yamltree.Short(name))
	}
	var d durable.Disk
	if err := d.MkdirAll(b.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("keeping what is done: %w", err)
	}
	unlock, err := d.Lock(ctx, filepath.Join(b.Dir, name+".lock"))
	if err != nil {
		return nil, err
	}
	j := &journal{b: b, file: filepath.Join(b.Dir, name+".json"), unlock: unlock}
	if err := j.read(); err != nil {
		unlock()
		return nil, err
	}
	return j, nil
}

func (j *journal) close() { j.unlock() }

func (j *journal) read() error {
	st, err := os.Stat(j.file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && st.Size() > maxJournal {
		err = fmt.Errorf("it has %d bytes", st.Size())
	}
	if err != nil {
		return fmt.Errorf("reading what was done: %w", err)
	}
	b, err := os.ReadFile(j.file)
	if err == nil {
		err = json.Unmarshal(b, j)
	}
	if err != nil {
		return fmt.Errorf("reading what was done, %s: %w", j.file, err)
	}
	return nil
}

// put writes a step in the place of an earlier one with its ID.
func (j *journal) put(s Step) error {
	if i := slices.IndexFunc(j.Steps, func(o Step) bool { return o.ID == s.ID }); i >= 0 {
		j.Steps[i] = s
	} else {
		j.Steps = append(j.Steps, s)
	}
	return j.write()
}

func (j *journal) write() error {
	b, err := json.MarshalIndent(j, "", "  ")
	if err != nil {
		return err
	}
	if err := (durable.Disk{}).Replace(j.file, append(b, '\n'), 0o600); err != nil {
		return fmt.Errorf("keeping what was done: %w", err)
	}
	return nil
}

func (j *journal) done(id string) (Step, bool) {
	for _, s := range j.Steps {
		if s.ID == id {
			return s, s.State == Done
		}
	}
	return Step{}, false
}

// do does a step, if it is needed, and writes down that it begins and how it ended.
func (j *journal) do(s Step, needed bool, work func(*Step) error) (Step, error) {
	if !needed {
		s, _ = j.done(s.ID)
		s.Skipped = true
		j.tell(s)
		return s, nil
	}
	s.State, s.Begun = Started, j.now()
	if err := j.put(s); err != nil {
		return s, err
	}
	j.tell(s)
	err := work(&s)
	s.State, s.Ended = Done, j.now()
	if err != nil {
		s.State, s.Error, s.Result = Failed, err.Error(), ""
		err = fmt.Errorf("step %s: %w", s.ID, err)
	}
	err = errors.Join(err, j.put(s))
	j.tell(s)
	return s, err
}

func (j *journal) tell(s Step) {
	if j.b.Progress != nil {
		j.b.Progress(s)
	}
}

func (j *journal) now() time.Time {
	if j.b.Now != nil {
		return j.b.Now().UTC()
	}
	return time.Now().UTC()
}

// Artefacts returns every step that was ever taken for a definition and is not removed, in the order in which they were
// first taken.
func (b *Builder) Artefacts(ctx context.Context, name string) ([]Step, error) {
	j, err := b.open(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("listing what was made of %s: %w", yamltree.Short(name), err)
	}
	defer j.close()
	return j.Steps, nil
}

// Names lists the definitions of which something was made.
func (b *Builder) Names() ([]string, error) {
	files, err := filepath.Glob(filepath.Join(b.Dir, "*.json"))
	if err != nil {
		return nil, fmt.Errorf("listing definitions: %w", err)
	}
	names := []string{}
	for _, f := range files {
		names = append(names, strings.TrimSuffix(filepath.Base(f), ".json"))
	}
	return names, nil
}

// RemoveFailed takes away what steps that failed, or were killed, have left with targets and on disk, and forgets the
// steps. It returns those. What cannot be removed stays listed.
func (b *Builder) RemoveFailed(ctx context.Context, name string) ([]Step, error) {
	j, err := b.open(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("removing what failed of %s: %w", yamltree.Short(name), err)
	}
	defer j.close()
	var gone, kept []Step
	var errs []error
	for _, s := range j.Steps {
		if s.State == Done {
			kept = append(kept, s)
			continue
		}
		if err := b.undo(ctx, s); err != nil {
			errs = append(errs, fmt.Errorf("removing what step %s left: %w", s.ID, err))
			kept = append(kept, s)
			continue
		}
		gone = append(gone, s)
	}
	j.Steps = kept
	return gone, errors.Join(append(errs, j.write())...)
}

func (b *Builder) undo(ctx context.Context, s Step) error {
	if s.Kind == KindFile {
		return diskimage.RemovePartial(s.What)
	}
	if s.Kind != KindRegister {
		return nil // a disk is in the cache whole or not at all, and what a killed build left is collected there
	}
	t, ok := b.Targets[s.What]
	if !ok {
		return fmt.Errorf("there is no target %s", yamltree.Short(s.What))
	}
	return t.Remove(ctx, s.Name)
}
