package cloud

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"griddle/imagestore/durable"
)

// keptLogs is for how many runs a stack's logs are kept.
const keptLogs = 10

// directory is where one stack's files are.
type directory struct {
	disk durable.Disk
	path string
}

// directory is the one of a stack; it need not exist.
func (c *Cloud) directory(stack string) (directory, error) {
	if !label(stack) {
		return directory{}, fmt.Errorf("the stack's name %q is no name", stack)
	}
	return directory{c.Disk, filepath.Join(c.Dir, stack)}, nil
}

func (d directory) state() string { return filepath.Join(d.path, "state.json") }

// load reads the state. fs.ErrNotExist says that there is none.
func (d directory) load() (*State, error) {
	b, err := d.disk.ReadFile(d.state())
	if err != nil {
		return nil, err
	}
	s, err := ParseState(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.state(), err)
	}
	if s.Stack != filepath.Base(d.path) {
		return nil, fmt.Errorf("%s: it is the state of stack %s", d.state(), s.Stack)
	}
	return s, nil
}

// remove takes the stack's files away, the state last: until then the stack is listed.
func (d directory) remove() error {
	for _, name := range []string{"logs", "userdata"} {
		if err := os.RemoveAll(filepath.Join(d.path, name)); err != nil {
			return err
		}
	}
	for _, name := range []string{"secrets.age", "state.json"} {
		if err := d.disk.Remove(filepath.Join(d.path, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return d.disk.SyncDir(d.path)
}

// logs makes the directory for the logs of a run that begins now, and removes those of the oldest.
func (d directory) logs(now time.Time, what string) (string, error) {
	dir := filepath.Join(d.path, "logs")
	if err := d.disk.MkdirAll(dir, 0o700); err != nil {
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

// record is a stack's state, shared by those who work on its servers side by side.
type record struct {
	dir directory
	mu  sync.Mutex
	s   *State
	n   int // changes so far

	saving sync.Mutex
	saved  int // of the changes, those that are on disk
}

// change changes the state and saves it; it returns when that is durable. What several change while the file is written is saved at
// once. After an error nobody may go on: what the provider is asked for next would be known to nobody.
func (r *record) change(f func(*State)) error {
	r.mu.Lock()
	f(r.s)
	r.n++
	mine := r.n
	r.mu.Unlock()
	r.saving.Lock()
	defer r.saving.Unlock()
	if r.saved >= mine {
		return nil
	}
	r.mu.Lock()
	n := r.n
	b, err := r.s.Encode()
	r.mu.Unlock()
	if err != nil {
		return err
	}
	if err := r.dir.disk.Replace(r.dir.state(), b, 0o600); err != nil {
		return fmt.Errorf("saving the state: %w", err)
	}
	r.saved = n
	return nil
}

// server is a copy of a server's state; the zero one where there is none.
func (r *record) server(name string) ServerState {
	r.mu.Lock()
	defer r.mu.Unlock()
	if v := r.s.Servers[name]; v != nil {
		return *v
	}
	return ServerState{}
}

// Stacks names the stacks that have a state here, in order.
func (c *Cloud) Stacks() ([]string, error) {
	all, err := os.ReadDir(c.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing stacks: %w", err)
	}
	var out []string
	for _, e := range all {
		if _, err := os.Lstat(filepath.Join(c.Dir, e.Name(), "state.json")); err == nil && label(e.Name()) {
			out = append(out, e.Name())
		}
	}
	slices.Sort(out)
	return out, nil
}

// State reads the state of a stack: what List and Status show of one whose provider is not asked. fs.ErrNotExist says that there is none.
func (c *Cloud) State(stack string) (*State, error) {
	d, err := c.directory(stack)
	if err != nil {
		return nil, err
	}
	return d.load()
}
