package state

import (
	"fmt"
	"sync"
)

// Record is a stack's state while goroutines work on its servers in parallel. All its methods may be
// called by several of them.
type Record struct {
	dir Directory

	mu sync.Mutex
	s  *State
	n  int // changes so far

	saving sync.Mutex
	saved  int // of the changes, those that are on disk
}

// NewRecord returns a record of s. Change saves it in d, which may be the zero value for a record that is only read.
func NewRecord(d Directory, s *State) *Record { return &Record{dir: d, s: s} }

// Change changes the state and saves it; it returns when that is durable. Changes that arrive while the file is written
// are saved together. After an error the caller must stop: the state would not know of anything that it creates next.
func (r *Record) Change(f func(*State)) error {
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
	if err := r.dir.stacks.Disk.Replace(r.dir.file(), b, 0o600); err != nil {
		return fmt.Errorf("saving the state: %w", err)
	}
	r.saved = n
	return nil
}

// View calls f with the state, which f must neither change nor keep.
func (r *Record) View(f func(*State)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(r.s)
}

// Copy returns a copy of the state.
func (r *Record) Copy() *State {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.s.Clone()
}

// Server returns a copy of a server's state; the zero value if the stack has no such server.
func (r *Record) Server(name string) Server {
	r.mu.Lock()
	defer r.mu.Unlock()
	if v := r.s.Servers[name]; v != nil {
		return *v
	}
	return Server{}
}

// Output returns an output of a role, which is empty for a secret one. ok says whether it was read.
func (r *Record) Output(role, name string) (value string, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	value, ok = r.s.Outputs[role][name]
	return value, ok
}
