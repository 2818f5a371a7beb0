// Package program replaces the agent on an installed machine by a newer one, so that a working one is always left.
//
// Call Wants with what the site's notice offers, Fetch to get it, run the file Candidate to try it, and then Replace.
// The next start is the new program's: call Good when it has done its work once. Guard runs before each start, as the
// last good program: where the new one was started too often without a Good, it puts the last good one back.
//
// The folder has
//
//	griddle-agent             the program that systemd starts
//	griddle-agent.last-good   the one before: it runs Guard, which is why the new one cannot break that
//	griddle-agent.new         a candidate
//	update.json               State
//
// Each change is one rename(2) between two fsync(2): a process that is killed, or a power cut, leaves the old program
// or the new one, whole, under its name, and the next Guard continues. A program that failed is never taken again,
// however often the site offers it.
package program

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"

	"griddle/appliance/site/notice"
	"griddle/imagestore/durable"
)

// Names in the folder.
const (
	Name     = "griddle-agent"
	lastGood = Name + ".last-good"
	fresh    = Name + ".new"
	stateOf  = "update.json"
)

const (
	maxStarts  = 5       // without a Good, before the last good program is put back
	maxRefused = 32      // programs that failed, the newest
	maxState   = 1 << 16 // bytes
)

// ErrFailed is wrapped by Wants if the program was tried before and failed.
var ErrFailed = errors.New("this agent was tried before and did not work")

// State is the content of update.json.
type State struct {
	Trying  string   `json:"trying,omitempty"`  // SHA-256 of the program that was not good yet
	Starts  int      `json:"starts,omitempty"`  // of it
	Refused []string `json:"refused,omitempty"` // SHA-256 of those that failed, the newest last
}

// Program is the agent in a folder. One process at a time uses it.
type Program struct {
	Dir  string
	Disk durable.Disk
}

func (p Program) path(name string) string { return filepath.Join(p.Dir, name) }

// Candidate is the path of the program that Fetch got.
func (p Program) Candidate() string { return p.path(fresh) }

// LastGood is the path of the program that runs Guard. It does not exist before the first Replace.
func (p Program) LastGood() string { return p.path(lastGood) }

// Wants says whether a, what a notice offers, should replace the program that runs and was built at built. Only a newer
// one does: a server cannot bring back an old one and its faults. nil is nothing.
func (p Program) Wants(a *notice.Agent, built int64) (bool, error) {
	if a == nil || a.Built <= built {
		return false, nil
	}
	s, err := p.state()
	if err != nil {
		return false, err
	}
	if slices.Contains(s.Refused, a.SHA256) {
		return false, fmt.Errorf("%w: %s", ErrFailed, a.Version)
	}
	return true, nil
}

// Fetch gets a from url and writes it to Candidate. Other bytes than those that a names are an error, and no more than
// its size are read.
func (p Program) Fetch(ctx context.Context, c *http.Client, url string, a notice.Agent) error {
	err := p.fetch(ctx, c, url, a)
	if err != nil {
		return fmt.Errorf("fetching the agent %s from %s: %w", a.Version, url, err)
	}
	return nil
}

func (p Program) fetch(ctx context.Context, c *http.Client, url string, a notice.Agent) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	res, err := c.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("the server answered %s", res.Status)
	}
	if err := p.remove(fresh); err != nil {
		return err
	}
	f, err := p.Disk.OpenFile(p.path(fresh), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o700)
	if err != nil {
		return err
	}
	defer f.Close()
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, sum), io.LimitReader(res.Body, a.Size+1))
	if err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); n != a.Size || got != a.SHA256 {
		return fmt.Errorf("it has %d bytes with the SHA-256 %.16s…, and the site signed %d bytes with %.16s…", n, got,
			a.Size, a.SHA256)
	}
	if err := f.Chmod(0o755); err != nil {
		return err
	}
	return f.Sync()
}

// Replace makes the candidate, which is a, the program, and the one that runs the last good one. It is durable when
// Replace returns. Where the program that runs was not good yet itself, the last good one stays.
func (p Program) Replace(a notice.Agent) error {
	if err := p.replace(a); err != nil {
		return fmt.Errorf("replacing the agent by %s: %w", a.Version, err)
	}
	return nil
}

func (p Program) replace(a notice.Agent) error {
	s, err := p.state()
	if err != nil {
		return err
	}
	if s.Trying == "" {
		if err := p.put(Name, lastGood); err != nil {
			return err
		}
	}
	s.Trying, s.Starts = a.SHA256, 0
	if err := p.save(s); err != nil {
		return err
	}
	if err := p.Disk.Rename(p.path(fresh), p.path(Name)); err != nil {
		return err
	}
	return p.Disk.SyncDir(p.Dir)
}

// put gives the file from the further name to, in place of the file that has it.
func (p Program) put(from, to string) error {
	temporary := to + ".tmp"
	if err := p.remove(temporary); err != nil {
		return err
	}
	if err := p.Disk.Link(p.path(from), p.path(temporary)); err != nil {
		return err
	}
	if err := p.Disk.Rename(p.path(temporary), p.path(to)); err != nil {
		return err
	}
	return p.Disk.SyncDir(p.Dir)
}

// Good says that the program that runs has done its work: from now on it is not on trial.
func (p Program) Good() error {
	s, err := p.state()
	if err != nil || s.Trying == "" {
		return err
	}
	s.Trying, s.Starts = "", 0
	return p.save(s)
}

// Stopped says that the program was stopped in the usual way: this start of it does not count as a failure.
func (p Program) Stopped() error {
	s, err := p.state()
	if err != nil || s.Trying == "" || s.Starts == 0 {
		return err
	}
	s.Starts = 0
	return p.save(s)
}

// Guard counts a start of a program that was not good yet, before it starts. After five, it puts the last good program
// back, and remembers the one that failed; back is true then.
func (p Program) Guard() (back bool, err error) {
	s, err := p.state()
	if err != nil || s.Trying == "" {
		return false, err
	}
	sum, err := p.sum(Name)
	if err != nil {
		return false, err
	}
	if sum != s.Trying { // Replace did not come to its rename, or fallBack came to its own
		s.Trying, s.Starts = "", 0
		return false, p.save(s)
	}
	if s.Starts++; s.Starts <= maxStarts {
		return false, p.save(s)
	}
	if err := p.fallBack(s); err != nil {
		return false, fmt.Errorf("going back to the last good agent: %w", err)
	}
	return true, nil
}

// fallBack remembers first what failed: after a crash in between, it is put back again.
func (p Program) fallBack(s State) error {
	if !slices.Contains(s.Refused, s.Trying) {
		s.Refused = append(s.Refused, s.Trying)
		s.Refused = s.Refused[max(0, len(s.Refused)-maxRefused):]
	}
	if err := p.save(s); err != nil {
		return err
	}
	if err := p.put(lastGood, Name); err != nil {
		return err
	}
	s.Trying, s.Starts = "", 0
	return p.save(s)
}

// state is the zero value where there is none, or where it cannot be read: then all that is lost is a count.
func (p Program) state() (State, error) {
	b, err := p.Disk.ReadFile(p.path(stateOf))
	if errors.Is(err, fs.ErrNotExist) {
		return State{}, nil
	}
	if err != nil {
		return State{}, fmt.Errorf("reading what is known of earlier agents: %w", err)
	}
	var s State
	if len(b) > maxState || json.Unmarshal(b, &s) != nil {
		return State{}, nil
	}
	return s, nil
}

func (p Program) save(s State) error {
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return p.Disk.Replace(p.path(stateOf), append(b, '\n'), 0o600)
}

func (p Program) sum(name string) (string, error) {
	f, err := os.Open(p.path(name))
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func (p Program) remove(name string) error {
	if _, err := os.Lstat(p.path(name)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return p.Disk.Remove(p.path(name))
}
