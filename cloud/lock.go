package cloud

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

// HeldError says that somebody else works with a stack now.
type HeldError struct {
	Stack  string
	Holder Holder // the zero one where it is not known
}

// Error names the holder.
func (e *HeldError) Error() string {
	if e.Holder.PID == 0 {
		return fmt.Sprintf("stack %s is being worked with by another process", e.Stack)
	}
	h := e.Holder
	return fmt.Sprintf("stack %s is being worked with by %q (process %d of %s on %s, since %s)", e.Stack, h.Command, h.PID, h.User, h.Host, h.Since.Format(time.DateTime))
}

// lock takes a stack for this process, and says who it is. The lock goes with unlock, and with the process.
func (c *Cloud) lock(d directory) (unlock func(), err error) {
	name := filepath.Base(d.path)
	if err := d.disk.MkdirAll(d.path, 0o700); err != nil {
		return nil, fmt.Errorf("locking stack %s: %w", name, err)
	}
	now, cancel := context.WithCancel(context.Background())
	cancel() // Lock tries once, and does not wait
	free, err := d.disk.Lock(now, filepath.Join(d.path, "lock"))
	path := filepath.Join(d.path, "holder.json")
	if errors.Is(err, context.Canceled) {
		return nil, &HeldError{name, d.holder()}
	}
	if err != nil {
		return nil, fmt.Errorf("locking stack %s: %w", name, err)
	}
	h := Holder{PID: os.Getpid(), Command: c.Command, Since: time.Now().UTC().Truncate(time.Second)}
	h.Host, _ = os.Hostname()
	if u, err := user.Current(); err == nil {
		h.User = u.Username
	}
	b, err := json.Marshal(h)
	if err == nil {
		err = d.disk.Replace(path, b, 0o600)
	}
	if err != nil {
		free()
		return nil, fmt.Errorf("locking stack %s: %w", name, err)
	}
	return func() {
		d.disk.Remove(path)
		free()
	}, nil
}

// holder is who holds the lock, as it wrote.
func (d directory) holder() (h Holder) {
	b, err := d.disk.ReadFile(filepath.Join(d.path, "holder.json"))
	if err != nil || len(b) > 4096 || json.Unmarshal(b, &h) != nil {
		return Holder{}
	}
	return h
}

// held says whether somebody works with the stack now, and who.
func (d directory) held() (Holder, bool) {
	if _, err := os.Stat(filepath.Join(d.path, "lock")); err != nil {
		return Holder{}, false
	}
	now, cancel := context.WithCancel(context.Background())
	cancel()
	free, err := d.disk.Lock(now, filepath.Join(d.path, "lock"))
	if err == nil {
		free()
	}
	return d.holder(), errors.Is(err, context.Canceled)
}
