package bless

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"griddle/appliance/job"
	"griddle/imagestore/durable"
	"griddle/initramfs/pool/history"
)

// TrialFile is the name of the file with a Trial, in the folder griddle of @persistent.
const TrialFile = "trial.json"

// maxTrial is the most that is read of it, in bytes; a real one has at most 20 lines of 400 characters.
const maxTrial = 64 << 10

// Trial is the trial of a root. It is replaced as a whole, durably.
type Trial struct {
	Root  string    `json:"root"`            // without "@roots/"
	Image string    `json:"image,omitempty"` // that it was made of
	Boot  string    `json:"boot"`            // see Options.Started
	Began time.Time `json:"began"`
	Fault Fault     `json:"fault,omitzero"` // why the root failed; zero as long as it may still pass
}

// Fault is why a root failed.
type Fault struct {
	Reason string   `json:"reason"`          // one sentence
	Lines  []string `json:"lines,omitempty"` // the last ones of a check or of logs
}

// Error is the reason and the last line.
func (f *Fault) Error() string {
	if n := len(f.Lines); n > 0 {
		return f.Reason + ": " + f.Lines[n-1]
	}
	return f.Reason
}

// end is the event of a root that failed, by what its trial left; the zero Trial if it left nothing.
func (t Trial) end(name string) history.Event {
	e := history.Event{Kind: history.Failed, Root: name, Image: t.Image, Reason: t.Fault.Reason, Lines: t.Fault.Lines}
	switch {
	case t.Root == "":
		e.Reason = "it did not start, and left no report: a power cut, or its kernel or first steps failed"
	case e.Reason == "":
		e.Reason = fmt.Sprintf("it started at %s, and left no other report: a power cut, a panic, a hang or a restart",
			t.Began.UTC().Format(time.DateTime))
	}
	return e
}

func writeTrial(dir *os.Root, t Trial) error {
	t.Fault.Reason, t.Fault.Lines = job.Sentence(t.Fault.Reason), history.Tail(t.Fault.Lines)
	b, err := json.MarshalIndent(t, "", "  ")
	if err == nil {
		err = durable.Disk{}.Replace(filepath.Join(dir.Name(), TrialFile), append(b, '\n'), 0o644)
	}
	if err != nil {
		return fmt.Errorf("writing how the trial is: %w", err)
	}
	return nil
}

// readTrial returns the trial of a root; the zero Trial if there is none, or it is another root's.
func readTrial(dir *os.Root, root string) (Trial, error) {
	f, err := dir.OpenFile(TrialFile, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return Trial{}, nil
	}
	if err != nil {
		return Trial{}, fmt.Errorf("reading how the trial ended: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxTrial))
	var t Trial
	if err == nil {
		err = json.Unmarshal(b, &t)
	}
	if err != nil {
		return Trial{}, fmt.Errorf("reading how the trial ended: %w", err)
	}
	if t.Root != root {
		return Trial{}, nil
	}
	return t, nil
}

func removeTrial(dir *os.Root) error {
	if err := dir.Remove(TrialFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing how the trial ended: %w", err)
	}
	return nil
}
