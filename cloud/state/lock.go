package state

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"time"
)

// Holder is who works with a stack.
type Holder struct {
	PID     int       `json:"pid"`
	User    string    `json:"user"`
	Host    string    `json:"host"`
	Command string    `json:"command"`
	Since   time.Time `json:"since"`
}

// HeldError says that another process works with a stack now.
type HeldError struct {
	Stack  string
	Holder Holder // the zero one where it is not known
}

// Error names the holder.
func (e *HeldError) Error() string {
	if e.Holder.PID == 0 {
		return fmt.Sprintf("stack %s is in use by another process", e.Stack)
	}
	h := e.Holder
	return fmt.Sprintf("stack %s is in use by %q (process %d of %s on %s, since %s)", e.Stack, h.Command, h.PID, h.User,
		h.Host, h.Since.Format(time.DateTime))
}

// Lock locks a stack for this process, which it describes as command, such as "griddle cloud up". The lock ends with
// unlock, or with the process. The error is a *HeldError if another process has the lock.
func (d Directory) Lock(command string) (unlock func(), err error) {
	name := filepath.Base(d.path)
	if err := d.stacks.Disk.MkdirAll(d.path, 0o700); err != nil {
		return nil, fmt.Errorf("locking stack %s: %w", name, err)
	}
	now, cancel := context.WithCancel(context.Background())
	cancel() // Lock tries once, and does not wait
	free, err := d.stacks.Disk.Lock(now, filepath.Join(d.path, "lock"))
	path := filepath.Join(d.path, "holder.json")
	if errors.Is(err, context.Canceled) {
		return nil, &HeldError{name, d.readHolder()}
	}
	if err != nil {
		return nil, fmt.Errorf("locking stack %s: %w", name, err)
	}
	h := Holder{PID: os.Getpid(), Command: command, Since: time.Now().UTC().Truncate(time.Second)}
	h.Host, _ = os.Hostname()
	if u, err := user.Current(); err == nil {
		h.User = u.Username
	}
	b, err := json.Marshal(h)
	if err == nil {
		err = d.stacks.Disk.Replace(path, b, 0o600)
	}
	if err != nil {
		free()
		return nil, fmt.Errorf("locking stack %s: %w", name, err)
	}
	return func() {
		d.stacks.Disk.Remove(path)
		free()
	}, nil
}

// readHolder reads what the holder of the lock wrote about itself.
func (d Directory) readHolder() (h Holder) {
	b, err := d.stacks.Disk.ReadFile(filepath.Join(d.path, "holder.json"))
	if err != nil || len(b) > 4096 || json.Unmarshal(b, &h) != nil {
		return Holder{}
	}
	return h
}

// Holder says who has the lock now, and whether anyone has it.
func (d Directory) Holder() (Holder, bool) {
	if _, err := os.Stat(filepath.Join(d.path, "lock")); err != nil {
		return Holder{}, false
	}
	now, cancel := context.WithCancel(context.Background())
	cancel()
	free, err := d.stacks.Disk.Lock(now, filepath.Join(d.path, "lock"))
	if err == nil {
		free()
	}
	return d.readHolder(), errors.Is(err, context.Canceled)
}
