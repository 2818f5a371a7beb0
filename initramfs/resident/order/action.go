package order

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"griddle/appliance/job"
)

// Begun is the action that the machine began last.
type Begun struct {
	Job  string `json:"job"`
	Boot string `json:"boot"` // the kernel's boot_id when it began, or of a rollback when Switched
	// Root is the one that a rollback starts, and Switched says that the next start of the machine takes it.
	Root     string `json:"root,omitempty"`
	Switched bool   `json:"switched,omitempty"`
	// Before are the actions that it began earlier, the newest last. A server whose state was restored from a copy may
	// order one of them again.
	Before []string `json:"before,omitempty"`
}

// maxBefore is how many actions a machine remembers.
const maxBefore = 64

// Has says whether the action with this ID was begun.
func (b Begun) Has(id string) bool { return b.Job == id && id != "" || slices.Contains(b.Before, id) }

// Begin records that an action begins, or how far it is. b.Before counts for nothing. It is durable on return: what is
// begun is never begun again. What cannot be read of earlier actions is lost.
func (f Files) Begin(b Begun) error {
	was, err := f.Begun()
	if err != nil && !errors.Is(err, ErrDamaged) {
		return err
	}
	if b.Before = was.Before; was.Job != "" && was.Job != b.Job {
		b.Before = append(slices.Clone(was.Before), was.Job)
	}
	b.Before = b.Before[max(0, len(b.Before)-maxBefore):]
	if err := f.write(f.dir, begunFile, b); err != nil {
		return fmt.Errorf("recording that an action begins: %w", err)
	}
	return nil
}

// Begun returns the action that was begun last, the zero value for none. An error wraps ErrDamaged if the file is not
// valid: then no one knows what was begun.
func (f Files) Begun() (b Begun, err error) {
	if err := f.read(f.dir, begunFile, &b); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Begun{}, fmt.Errorf("reading which actions were begun: %w", err)
	}
	return b, nil
}

// Acted returns what became of the last action, nil if there was none.
func (f Files) Acted() *Result { return load[Result](f, f.dir, actedFile) }

// EndAction is End for an action.
func (f Files) EndAction(r Result) error {
	if err := f.end(actedFile, r); err != nil {
		return fmt.Errorf("recording what became of the action: %w", err)
	}
	return nil
}

// Action is what the server should hear of the last action, nil for nothing: an end that it has heard is nothing.
func (s Situation) Action() *job.JobReport {
	switch {
	case s.acts():
		r := &job.JobReport{ID: s.Waiting.Spec.ID, State: job.Started, Phase: job.PhaseCheck,
			Message: "the machine has the order"}
		if p := s.Progress; p != nil && p.Job == r.ID {
			r.Phase, r.Message = p.Phase, p.Message
		}
		return r
	case s.Acted == nil || s.Acted.Job == s.Reported.Acted:
		return nil
	}
	r := &job.JobReport{ID: s.Acted.Job, State: job.Done, Phase: s.Acted.Phase, Message: s.Acted.Message,
		Ran: s.Acted.Ran}
	if s.Acted.State != Done {
		r.State = job.Failed
	}
	return r
}

// acts says whether the order that waits is an action.
func (s Situation) acts() bool { return s.Waiting != nil && s.Waiting.Spec.Kind.IsAction() }
