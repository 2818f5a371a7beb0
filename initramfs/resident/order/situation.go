package order

import (
	"fmt"
	"slices"
	"time"

	"griddle/appliance/job"
	"griddle/initramfs/pool/history"
)

// Situation is what the service knows when it checks in.
type Situation struct {
	Waiting  *Order
	Progress *Progress
	Result   *Result
	Begun    Begun
	Acted    *Result // of the last action
	Reported Reported

	Root    string          // the one that runs, without "@roots/"
	Boot    string          // the kernel's boot_id
	Up      time.Duration   // since the machine started
	Kernel  string          // its release
	History []history.Event // of the pool, the oldest first
	Roots   []job.Root      // of the pool, as Files.Roots has them
}

// trial is how long a started machine may take to find out what became of a new root. It is longer than the deadline
// of a trial (package bless).
const trial = 15 * time.Minute

// Job is what the server should hear of the last update, nil for nothing: an end that it has heard is nothing.
func (s Situation) Job() *job.JobReport {
	switch {
	case s.Waiting != nil && !s.acts():
		r := &job.JobReport{ID: s.Waiting.Spec.ID, State: job.Started, Phase: job.PhaseCheck,
			Message: "the machine has the order"}
		if p := s.Progress; p != nil && p.Job == r.ID {
			r.Phase, r.Message, r.Progress = p.Phase, p.Message, p.Progress
		}
		return r
	case s.Result == nil || s.Result.Job == s.Reported.Job:
		return nil
	}
	r := &job.JobReport{ID: s.Result.Job, Phase: s.Result.Phase}
	r.State, r.Message = s.end()
	if r.State == job.Done {
		r.Kernel = s.Kernel
	}
	return r
}

// end is what became of the last order, so far.
func (s Situation) end() (job.State, string) {
	r := s.Result
	if r.State == Failed {
		return job.Failed, r.Message
	}
	last, back := s.last(r.Root)
	switch {
	case last.Kind == history.Failed:
		return job.Failed, fmt.Sprintf("%s failed, and the machine runs %s again: %s", r.Root, s.Root, last.Reason)
	case s.Root == r.Root && (last.Kind == history.Blessed || last.Kind == "" && r.State == Current):
		return job.Done, fmt.Sprintf("the machine runs %s", r.Root)
	case s.Root == r.Root:
		return job.Started, fmt.Sprintf("%s runs on trial", r.Root)
	case back:
		return job.Failed, fmt.Sprintf("a person at the machine had it start %s, and not %s", s.Root, r.Root)
	case s.Boot == r.Boot, s.takes(r.Root):
		return job.Started, job.NextStart(r.Root)
	case s.Up < trial:
		return job.Started, fmt.Sprintf("the machine started, and runs %s", s.Root)
	}
	return job.Failed, fmt.Sprintf("the machine started, and runs %s, not %s: griddle-agent history on it has more",
		s.Root, r.Root)
}

// takes reports whether the next start of the machine takes a root. After a start of another one by hand, in the menu
// of the boot loader, it still does.
func (s Situation) takes(root string) bool {
	return slices.ContainsFunc(s.Roots, func(r job.Root) bool { return r.Next && r.Name == root })
}

// last is the last event of a root that says whether it is good, the zero value for none; and whether a person had
// the machine start another root after that.
func (s Situation) last(root string) (e history.Event, back bool) {
	for _, e := range slices.Backward(s.History) {
		switch e.Kind {
		case history.Made, history.Switched, history.Started, history.Blessed, history.Failed:
			if e.Root == root {
				return e, back
			}
		case history.RolledBack:
			back = back || e.Root != root
		}
	}
	return history.Event{}, back
}

// Fell is the newest root that failed and of which the server has not heard; nil for none.
func (s Situation) Fell() *job.Fell {
	for _, e := range slices.Backward(s.History) {
		if e.Kind != history.Failed {
			continue
		}
		if e.Time.Equal(s.Reported.Failed) {
			return nil
		}
		f := &job.Fell{Time: e.Time, Root: e.Root, Image: e.Image, Reason: e.Reason, Lines: e.Lines}
		if s.Result != nil && s.Result.Root == e.Root {
			f.Job = s.Result.Job
		}
		return f
	}
	return nil
}

// Heard is what the server has heard after a check-in with Job, Action and Fell.
func (s Situation) Heard() Reported {
	out := s.Reported
	r := s.Job()
	if r != nil && (r.State == job.Done || r.State == job.Failed) {
		out.Job = r.ID
	}
	if r != nil && (s.Waiting == nil || s.acts()) {
		out.Switched = r.ID
	}
	switch a := s.Action(); {
	case a == nil:
	case a.State != job.Started:
		out.Acted = a.ID
	case a.Phase == job.PhaseRestart:
		out.Restarts = a.ID
	}
	if f := s.Fell(); f != nil {
		out.Failed = f.Time
	}
	return out
}

// Action is what the service does with its order.
type Action int

// The actions.
const (
	Stay   Action = iota
	Take          // the server's job becomes the order
	Forget        // the order is over on the server
)

// Next decides what follows from the answer to a check-in with Job and Action.
func (s Situation) Next(out job.CheckedIn) Action {
	spec := out.Job
	switch {
	case spec != nil && !s.over(*spec):
		if s.Waiting != nil && s.Waiting.Spec.ID == spec.ID {
			return Stay
		}
		return Take
	case s.acts() && out.ActionOver, s.Waiting != nil && !s.acts() && out.Cancelled:
		return Forget
	}
	return Stay
}

// over says whether a job of the server was carried out here before.
func (s Situation) over(spec job.Spec) bool {
	if spec.Kind.IsAction() {
		waits := s.acts() && s.Waiting.Spec.ID == spec.ID
		return s.Begun.Has(spec.ID) && !waits || s.Acted != nil && s.Acted.Job == spec.ID
	}
	return s.Result != nil && s.Result.Job == spec.ID
}
