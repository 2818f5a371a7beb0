package job

import "time"

// An action is what an installed system is told to do besides updates. Its service gets the job with the answer to a
// check-in, leaves it to a unit, and reports it in CheckIn.Action. A machine begins an action at most once: what a
// power cut or a kill interrupts is continued or reported as failed, and never done again from the start.

// The kinds of actions.
const (
	Reboot   Kind = "reboot"   // restart the machine through its firmware
	Run      Kind = "run"      // run a program line on the installed system, once
	Rollback Kind = "rollback" // start an earlier root of the pool, by the same switch as an update, and restart
)

// Features of a service that carries out actions, in CheckIn.Features; without one it gets no job of that kind.
const (
	FeatureReboot   = "reboot"
	FeatureRollback = "rollback"
	FeatureRun      = "run" // unless the machine forbids it
)

// The phases of actions.
const (
	PhaseRestart Phase = "restart" // the machine restarts, to come up as the action wants it
	PhaseRun     Phase = "run"     // a program line runs
)

// actions are the kinds of actions, and what a service says that can carry them out.
var actions = map[Kind]string{Reboot: FeatureReboot, Rollback: FeatureRollback, Run: FeatureRun}

// IsAction says whether a job of this kind is an action.
func (k Kind) IsAction() bool { return actions[k] != "" }

// ActionFeature is what a service announces that carries out actions of this kind, "" for another kind.
func ActionFeature(k Kind) string { return actions[k] }

// ActionWait is how long an action waits for its machine if the order does not say, and ActionWaitMost how long at
// most: a machine that is switched on weeks later should not do what no one thinks of any more.
const (
	ActionWait     = time.Hour
	ActionWaitMost = 7 * 24 * time.Hour
)
