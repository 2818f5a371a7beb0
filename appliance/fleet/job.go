package fleet

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"griddle/appliance/job"
)

// Job is one job of one machine, with its state.
type Job struct {
	Spec    job.Spec `json:"spec"` // without Sources and Home, which are new for each hello
	Machine string   `json:"machine"`
	Origin  Origin   `json:"origin"`
	By      string   `json:"by,omitempty"`   // the operator who ordered it
	Rule    *Ruled   `json:"rule,omitempty"` // that made it
	// the boot on whose screen it was chosen; no other may carry it out
	Boot string `json:"boot,omitempty"`
	// of an operator's or a rule's job: the boot that started it last; byService
	Carrier string `json:"carrier,omitempty"`
	Begun   bool   `json:"begun,omitempty"`  // a boot before the present one wrote to its disk
	TooOld  bool   `json:"tooOld,omitempty"` // of an update: a boot could not do it, so that its service does
	Given   bool   `json:"given,omitempty"`  // of an update: its service got the settings
	Root    string `json:"root,omitempty"`   // the system that it made, as that reported it
	Erased  bool   `json:"erased,omitempty"` // an erase began to erase the disk with that system
	// Certificate is what an erase did to its disk, as the machine reported it last.
	Certificate *job.Certificate `json:"certificate,omitempty"`
	// Ran is what came of the program of a run that is done.
	Ran *job.Ran `json:"ran,omitempty"`
	// Starts is what starts the system of an install that is done, as its machine reported it.
	Starts   *job.Starts   `json:"starts,omitempty"`
	State    job.State     `json:"state"`
	Phase    job.Phase     `json:"phase,omitempty"`
	Message  string        `json:"message,omitempty"` // the last error, or what ended it
	Progress *job.Progress `json:"progress,omitempty"`
	Created  time.Time     `json:"created"`
	Changed  time.Time     `json:"changed"`
}

// Origin says who requested a job.
type Origin string

// The values of Origin.
const (
	Operator Origin = "operator" // the command line or the API
	Screen   Origin = "screen"   // a user at the machine
	ByRule   Origin = "rule"     // a rule of the site; only installs
	Resident Origin = "machine"  // the installed system itself, for a person or a timer on it; only updates
)

// byService is the carrier of an update that the service of the installed system carries out.
const byService = "service"

// Errors of Apply and Cancel.
var (
	ErrOtherDisk = errors.New("job was started on another disk")
	ErrOver      = errors.New("job is over")

	errUnknownState = errors.New("unknown job state")
)

// carrier is the boot that carries the job out, "" where none does yet.
func (j Job) carrier() string {
	if j.Origin == Screen {
		return j.Boot
	}
	return j.Carrier
}

// continues says whether another boot may take the job up, by a key press and with the mark that it left on a disk.
func (j Job) continues() bool {
	return j.Origin == Screen && j.Spec.Kind == job.Install && (j.Begun || j.Spec.Started != "") &&
		j.State != job.Done && j.State != job.Cancelled
}

// due says whether someone has still to carry out the update: the machine does not have the new root yet.
func (j Job) due() bool {
	return j.Live() && j.Spec.Kind == job.Update && j.Phase != job.PhaseSwitch
}

// Live says whether the job is pending or started.
func (j Job) Live() bool { return j.State == job.Pending || j.State == job.Started }

// Apply returns the job after ev. If it returns an error, it refuses ev's change of state, and a live job ends as
// failed:
// the machine does not do what the job says.
//
//	          started(disk)              started(same disk)
//	pending ---------------> started <--------------------.
//	   |  \                   |   |  \____________________/
//	   |   `---- failed <-----'   `---> done
//	   `-------> cancelled <--'           (done, failed and cancelled stay)
//
// A relay, an update and an action name no disk. An update and an action may be done without having started: the
// reports between were lost. Once an update is in PhaseSwitch it stays there until it ends.
func (j Job) Apply(ev job.Event, now time.Time) (Job, error) {
	if !j.Live() {
		if ev.State == "" || ev.State == j.State {
			return j, nil
		}
		return j, fmt.Errorf("%w: it is %s and cannot become %s", ErrOver, j.State, ev.State)
	}
	j.Changed = now
	if ev.Phase != "" && j.Phase != job.PhaseSwitch {
		if ev.Phase != j.Phase {
			j.Progress = nil
		}
		j.Phase = ev.Phase
	}
	if ev.Progress != nil {
		j.Progress = ev.Progress
	}
	if ev.Level == job.Error || ev.Level == job.Warning {
		j.Message = ev.Message
	}
	switch ev.State {
	case "", job.Pending:
		return j, nil
	case job.Started:
		if j.Spec.Kind == job.Relay || j.Spec.Kind == job.Update || j.isAction() {
			j.State, j.Message = job.Started, ""
			return j, nil
		}
		disk := strings.TrimSpace(ev.Disk)
		if disk == "" {
			return j.fail("the machine started without naming its disk"),
				fmt.Errorf("%w: the machine named no disk", ErrOtherDisk)
		}
		if j.Spec.Started != "" && j.Spec.Started != disk {
			why := fmt.Sprintf("it was started on %s, and the machine now uses %s", job.Printable(j.Spec.Started),
				job.Printable(disk))
			return j.fail(why), fmt.Errorf("%w: %s", ErrOtherDisk, why)
		}
		j.State, j.Spec.Started, j.Message = job.Started, disk, ""
		j.certify(ev)
	case job.Done:
		if j.State != job.Started && j.Spec.Kind != job.Update && !j.isAction() {
			return j.fail("the machine reports that it is done, but it never started"),
				fmt.Errorf("%w: it never started", ErrOtherDisk)
		}
		j.State, j.Message, j.Starts = job.Done, ev.Message, ev.Starts
		j.certify(ev)
	case job.Failed:
		j.certify(ev)
		return j.fail(ev.Message), nil
	case job.Cancelled:
		j.State, j.Message = job.Cancelled, ev.Message
	default:
		return j, fmt.Errorf("%w %q", errUnknownState, job.Printable(string(ev.State)))
	}
	return j, nil
}

// certify keeps what an erase did to its disk.
func (j *Job) certify(ev job.Event) {
	if ev.Certificate != nil && j.Spec.Kind == job.Erase {
		j.Certificate = ev.Certificate
	}
}

// what says what the job is about: the image, the disk that is erased, or the action.
func (j Job) what() string {
	switch {
	case j.Spec.Kind == job.Erase:
		return "erasing disk " + job.Sentence(j.Spec.Erase)
	case j.isAction():
		return "a " + string(j.Spec.Kind)
	}
	return j.Spec.Image.Ref
}

func (j Job) fail(why string) Job {
	j.State, j.Message = job.Failed, why
	return j
}

// Report returns the update or action after what the service of its machine says about it. It may also be done after it
// was cancelled or failed: the machine could not be stopped any more, and the service says what became of it. root is
// that of an update.
func (j Job) Report(r job.JobReport, root string, now time.Time) (Job, error) {
	if r.State == job.Done {
		j.State, j.Changed, j.Message, j.Progress = job.Done, now, r.Message, nil
		if j.Spec.Kind == job.Run {
			j.Ran = r.Ran
		}
		if j.Spec.Kind == job.Update {
			j.Root = root
		}
		return j, nil
	}
	level := job.Info
	if r.State == job.Failed {
		level = job.Error
	}
	next, err := j.Apply(job.Event{Phase: r.Phase, Level: level, State: r.State, Message: r.Message,
		Progress: r.Progress}, now)
	if err == nil && next.Live() {
		next.Message = r.Message
	}
	return next, err
}

// Cancel cancels the job. What is already written to a disk stays there.
func (j Job) Cancel(now time.Time) (Job, error) {
	if !j.Live() {
		return j, fmt.Errorf("%w: it is %s", ErrOver, j.State)
	}
	j.State, j.Changed, j.Message = job.Cancelled, now, "cancelled by the operator"
	return j, nil
}

// interrupt ends a live job whose boot has ended.
func (j Job) interrupt(now time.Time) Job {
	j.Changed = now
	return j.fail("interrupted: the boot on whose screen it was chosen ended before the job was done")
}
