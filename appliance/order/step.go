package order

import (
	"fmt"
	"slices"
	"time"

	"griddle/appliance/job"
)

// Report is what the job of a machine says.
type Report struct {
	Gone    bool      // the server does not know the machine any more
	State   job.State // of the job that the order gave it; "" if the server does not have that any more
	Parked  bool      // see Machine.Parked
	Message string    // of the job
	Heard   time.Time // when anything was heard of the machine last
}

// Action is something to be done to a machine now.
type Action struct {
	Do      Do
	Machine string // its ID
}

// Do is what is to be done.
type Do int

// What can be done. After each, the caller notes it by the method of this name. A machine that cannot get its job is
// noted by Refuse or Current.
const (
	DoGive     Do = iota // give the machine its job
	DoTakeBack           // cancel the job that it was given, if that has not begun
)

// Step returns the order after what the reports say, and what is to be done now. Reports are by the IDs of the
// machines: of each that is given or silent, and of waiting ones that are gone. Step changes nothing of o.
//
// It never gives a job while the order does not run, nor to more machines at once than the limits say. Those that are
// parked do not count for that.
func (o Order) Step(now time.Time, reports map[string]Report) (Order, []Action) {
	o.Machines = slices.Clone(o.Machines)
	var todo []Action
	for i := range o.Machines {
		m := &o.Machines[i]
		r := reports[m.ID]
		switch {
		case m.State == Waiting && r.Gone:
			m.become(Skipped, now, "the machine was deleted, or is another one now")
		case m.State == Given || m.State == Failed && m.Silent:
			if o.hear(m, now, r) {
				todo = append(todo, Action{DoTakeBack, m.ID})
			}
		}
	}
	waves := o.Waves()
	o.judge(now, o.begun(waves))
	return o, append(todo, o.turns(now, waves)...)
}

// hear applies what the job of a given or silent machine says. It returns true if the job is to be taken back.
func (o Order) hear(m *Machine, now time.Time, r Report) bool {
	begun := r.State != job.Pending
	last := r.Heard
	if last.Before(m.Given) {
		last = m.Given
	}
	m.Parked = m.State == Given && r.Parked
	switch {
	case r.State == job.Done:
		m.become(Finished, now, r.Message)
	case r.State == job.Failed:
		if m.Tries <= o.Limits.Retries && o.State != Cancelled && !m.Silent {
			m.become(Waiting, now, fmt.Sprintf("it failed, and gets another job: %s", r.Message))
			return false
		}
		if m.State == Given || m.Why != job.Sentence(r.Message) {
			m.become(Failed, now, r.Message)
		}
	case r.State == job.Cancelled:
		m.become(MachineCancelled, now, "its job was cancelled")
	case m.State == Failed: // silent, and its job has not ended
	case r.State == "":
		m.become(Failed, now, "the server has its job no more")
	case r.Parked:
	case !begun:
		return o.State == Cancelled || o.Limits.Begin > 0 && now.Sub(m.Given) >= o.Limits.Begin.Duration()
	case o.Limits.Silence > 0 && now.Sub(last) >= o.Limits.Silence.Duration():
		m.become(Failed, now, fmt.Sprintf("it began, and has said nothing since %s UTC; look at its screen",
			last.UTC().Format(time.DateTime)))
		m.Silent = true
	}
	return false
}

// judge finds whether the order goes on. The waves that have begun have so many machines.
func (o *Order) judge(now time.Time, of int) {
	c := o.Count()
	if o.State == Cancelled {
		return
	}
	if c.Waiting+c.Given == 0 {
		if o.State != Done {
			o.State, o.Why, o.Changed = Done, "", now
		}
		return
	}
	if failed := max(0, c.Failed-o.Forgave); o.State == Running && o.Limits.Failures.exceeded(failed, of) {
		o.State, o.Changed = Held, now
		o.Why = fmt.Sprintf("%d machines failed, and the order allows %s; find out why, then continue, retry or "+
			"cancel it", failed, o.Limits.Failures)
		if failed == 1 {
			o.Why = fmt.Sprintf("a machine failed, and the order allows %s; find out why, then continue, retry or "+
				"cancel it", o.Limits.Failures)
		}
	}
}

// turns are the machines that get their jobs now.
func (o Order) turns(now time.Time, waves []int) (todo []Action) {
	free, wave := o.free(), o.wave(waves)
	if o.State != Running || o.Limits.Pause > 0 && now.Sub(o.Gave) < o.Limits.Pause.Duration() {
		return nil
	}
	if o.Limits.Pause > 0 {
		free = min(free, 1)
	}
	for i, m := range o.Machines {
		if m.State == Waiting && waves[i] <= wave && len(todo) < free {
			todo = append(todo, Action{DoGive, m.ID})
		}
	}
	return todo
}

// free is how many machines may get a job beside those that have one.
func (o Order) free() int {
	if o.Limits.AtMost == 0 {
		return len(o.Machines)
	}
	have := 0
	for _, m := range o.Machines {
		if m.State == Given && !m.Parked {
			have++
		}
	}
	return max(0, o.Limits.AtMost-have)
}

// Give returns the order after a machine got a job. It fails if it is not the turn of the machine any more: the order
// was held or cancelled since Step, or other machines took the places.
func (o Order) Give(machine, id string, now time.Time) (Order, error) {
	i, err := o.find(machine)
	switch {
	case err != nil:
		return o, err
	case o.State != Running:
		return o, fmt.Errorf("%w: the order is %s", ErrState, o.State)
	case o.Machines[i].State != Waiting:
		return o, fmt.Errorf("%w: %s is %s in the order", ErrState, o.Machines[i].Name, o.Machines[i].State)
	case o.free() == 0:
		return o, fmt.Errorf("%w: as many machines as the order allows have a job", ErrState)
	}
	o.Machines = slices.Clone(o.Machines)
	m := &o.Machines[i]
	m.become(Given, now, "")
	m.Job, m.Given, o.Gave = id, now, now
	m.Tries++
	return o, nil
}

// Refuse returns the order after a waiting machine could get no job.
func (o Order) Refuse(machine, why string, now time.Time) (Order, error) {
	return o.change(machine, Waiting, Skipped, why, now)
}

// Current returns the order after a waiting machine was found to have already what the order gives.
func (o Order) Current(machine, why string, now time.Time) (Order, error) {
	return o.change(machine, Waiting, Finished, why, now)
}

// TakeBack returns the order after the job of a given machine was taken back, before the machine began it.
func (o Order) TakeBack(machine string, now time.Time) (Order, error) {
	if o.State == Cancelled {
		return o.change(machine, Given, MachineCancelled, "the order was cancelled before the machine began", now)
	}
	return o.change(machine, Given, Skipped, fmt.Sprintf("it did not begin within %v, so that its job was taken back",
		o.Limits.Begin.Duration()), now)
}

func (o Order) change(machine string, from, to MachineState, why string, now time.Time) (Order, error) {
	i, err := o.find(machine)
	if err != nil {
		return o, err
	}
	if is := o.Machines[i].State; is != from {
		return o, fmt.Errorf("%w: %s is %s in the order", ErrState, o.Machines[i].Name, is)
	}
	o.Machines = slices.Clone(o.Machines)
	o.Machines[i].become(to, now, why)
	return o, nil
}
