package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"griddle/imagestore/durable"
)

// keptLogs is for how many runs a stack's logs are kept.
const keptLogs = 10

// Stacks is where the files of all stacks are.
type Stacks struct {
	Dir      string       // a directory for each stack is in it
	Identity string       // file with the age identity, created if it is missing
	Disk     durable.Disk // how files are read and written
}

// Directory is where the files of one stack are.
type Directory struct {
	stacks Stacks
	path   string
}

// Directory returns the directory of a stack, which need not exist.
func (s Stacks) Directory(stack string) (Directory, error) {
	if !label(stack) {
		return Directory{}, fmt.Errorf("%q is not a valid name of a stack", stack)
	}
	return Directory{s, filepath.Join(s.Dir, stack)}, nil
}

// Path is the directory's own path.
func (d Directory) Path() string { return d.path }

func (d Directory) file() string { return filepath.Join(d.path, "state.json") }

// LoadOrNew is Load, with an empty state if the stack has none.
func (d Directory) LoadOrNew() (*State, error) {
	s, err := d.Load()
	if errors.Is(err, fs.ErrNotExist) {
		return &State{Version: Version, Stack: filepath.Base(d.path)}, nil
	}
	return s, err
}

// Load reads the state. The error is fs.ErrNotExist if there is none.
func (d Directory) Load() (*State, error) {
	b, err := d.stacks.Disk.ReadFile(d.file())
	if err != nil {
		return nil, err
	}
	s, err := Parse(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.file(), err)
	}
	if s.Stack != filepath.Base(d.path) {
		return nil, fmt.Errorf("%s: it is the state of stack %s", d.file(), s.Stack)
	}
	return s, nil
}

// Remove removes the stack's files, the state last: until then the stack is listed.
func (d Directory) Remove() error {
	for _, name := range []string{"logs", "userdata"} {
		if err := os.RemoveAll(filepath.Join(d.path, name)); err != nil {
			return err
		}
	}
	for _, name := range []string{"secrets.age", "state.json"} {
		if err := d.stacks.Disk.Remove(filepath.Join(d.path, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return d.stacks.Disk.SyncDir(d.path)
}

// NewLogs creates the directory for the logs of a run that begins now, and removes those of the oldest runs.
func (d Directory) NewLogs(now time.Time, what string) (string, error) {
	dir := filepath.Join(d.path, "logs")
	if err := d.stacks.Disk.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	old, err := os.ReadDir(dir) // by name, which is by time
	if err != nil {
		return "", err
	}
	for i := 0; i <= len(old)-keptLogs; i++ {
		if err := os.RemoveAll(filepath.Join(dir, old[i].Name())); err != nil {
			return "", err
		}
	}
	stem := filepath.Join(dir, now.UTC().Format("20060102T150405.000Z")+"-"+what)
	for n, path := 1, stem; ; n, path = n+1, fmt.Sprintf("%s-%d", stem, n+1) {
		if err := os.Mkdir(path, 0o700); !errors.Is(err, fs.ErrExist) || n == 100 {
			return path, err
		}
	}
}

// Names returns the names of the stacks that have a state, sorted.
func (s Stacks) Names() ([]string, error) {
	all, err := os.ReadDir(s.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing stacks: %w", err)
	}
	var out []string
	for _, e := range all {
		if _, err := os.Lstat(filepath.Join(s.Dir, e.Name(), "state.json")); err == nil && label(e.Name()) {
			out = append(out, e.Name())
		}
	}
	slices.Sort(out)
	return out, nil
}

// Load reads the state of a stack. The error is fs.ErrNotExist if there is none.
func (s Stacks) Load(stack string) (*State, error) {
	d, err := s.Directory(stack)
	if err != nil {
		return nil, err
	}
	return d.Load()
}
