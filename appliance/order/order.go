// Package order says how one order for many machines goes: which of them get their job now, what became of the others,
// and when the order stops by itself.
//
// Start with Order.Step. It is a function of the time and of what the jobs say, and has no clock, no store and no
// network: package fleet keeps orders, and package api gives the jobs. Step returns what is to be done; Give, Refuse,
// Current and TakeBack note that it was done.
//
// The machines of an order are fixed when it is made. Each has a state, with a sentence and a time:
//
//	   .------------- retry --------------.
//	   v                                  |
//	waiting ---> given ---> done          |
//	 |  |         |  |\____ failed -------|
//	 |  |         |  `----> skipped ------|
//	 |  `---------|-------> skipped ------|
//	 `------------'-------> cancelled ----'
//
// A given machine has a job, which waits for the machine or runs. A skipped one got none, or did not begin in time, so
// that the job was taken back. A failed one began. Only failed machines count for Limits.Failures.
//
// A machine that began and is then silent for Limits.Silence has failed: that is what a bad image looks like. Its job
// stays, because no one can take it back. If the job ends all the same while the order is live, the machine is what the
// job says.
//
// An order for the same machine twice: a machine that waits or is given in a live order is refused for a second one.
// A machine that has another job when its turn comes is skipped, unless the order replaces jobs.
package order

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"griddle/appliance/job"
)

// Order is one order for many machines.
type Order struct {
	ID   string   `json:"id"` // a number from 1, ascending, in decimal digits
	Kind job.Kind `json:"kind"`
	What string   `json:"what"` // what the machines get, in words: "update to web:20261120.1"
	// Asked is what each machine gets, as the request that the server took. This package does not read it.
	Asked   json.RawMessage `json:"asked,omitempty"`
	By      string          `json:"by,omitempty"` // who made it
	Created time.Time       `json:"created"`
	Limits  Limits          `json:"limits"`

	State   State     `json:"state"`
	Why     string    `json:"why,omitempty"`    // it holds, or was cancelled
	Changed time.Time `json:"changed"`          // when State changed
	Gave    time.Time `json:"gave,omitzero"`    // when a machine got its job last
	Forgave int       `json:"forgave,omitzero"` // failures that do not count, because an operator continued after them

	// Machines are in the order in which they get their jobs, within a wave.
	Machines []Machine `json:"machines,omitempty"`
}

// State is the state of an order.
type State string

// The states of an order.
const (
	Running   State = "running"
	Held      State = "held"      // no further machine gets a job; those that have one keep it
	Cancelled State = "cancelled" // no further machine gets a job, unless an operator retries
	Done      State = "done"      // no machine waits or has a live job
)

// Machine is a machine of an order.
type Machine struct {
	ID   string `json:"id"`
	Name string `json:"name"` // when the order was made
	// Image is the image that it gets: what the asked name was when the order was made. "" for none.
	Image string `json:"image,omitempty"`
	// Agreed is the hash of what is lost on its disks, to which an operator agreed. "" agrees to no loss.
	Agreed string `json:"agreed,omitempty"`
	// Erase names the one disk whose content may be lost, see job.Spec.Erase.
	Erase string `json:"erase,omitempty"`

	State   MachineState `json:"state"`
	Why     string       `json:"why,omitempty"`   // one sentence
	Changed time.Time    `json:"changed"`         // when State changed
	Job     string       `json:"job,omitempty"`   // that it was given last
	Given   time.Time    `json:"given,omitzero"`  // when it was given that
	Tries   int          `json:"tries,omitempty"` // jobs that it was given since an operator ordered it
	// Parked says that its part is done but for a start at a time, or by a person, that the order leaves open.
	Parked bool `json:"parked,omitempty"`
	// Silent says that it failed because it was silent; its job may still end.
	Silent bool `json:"silent,omitempty"`
}

// MachineState is the state of a machine in an order.
type MachineState string

// The states of a machine in an order.
const (
	Waiting          MachineState = "waiting"
	Given            MachineState = "given"
	Finished         MachineState = "done"
	Failed           MachineState = "failed"
	Skipped          MachineState = "skipped"
	MachineCancelled MachineState = "cancelled"
)

// Live says whether the order has still to give a job to the machine, or waits for its job.
func (m Machine) Live() bool { return m.State == Waiting || m.State == Given }

// become gives the machine another state.
func (m *Machine) become(s MachineState, now time.Time, why string) {
	m.State, m.Why, m.Changed, m.Silent = s, job.Sentence(why), now, false
	if s != Given {
		m.Parked = false
	}
}

// Limits say how fast an order goes, and when it stops.
type Limits struct {
	AtMost int     `json:"atMost,omitempty"` // machines that have a job at once; 0 for all
	Pause  Seconds `json:"pause,omitempty"`  // least time between two machines that get their jobs
	// Waves are rising shares of the machines in percent, the last one 100. A wave begins when all machines of those
	// before have ended. Empty is one wave.
	Waves    []int     `json:"waves,omitempty"`
	Failures Allowance `json:"failures,omitempty"` // of machines; with more, the order holds
	Retries  int       `json:"retries,omitempty"`  // how often a machine that failed gets another job by itself
	// Begin is how long a job may wait for its machine before it is taken back; 0 for ever.
	Begin Seconds `json:"begin,omitempty"`
	// Silence is how long a machine may say nothing after it began; 0 for ever.
	Silence Seconds `json:"silence,omitempty"`
}

// Seconds is a time span in whole seconds.
type Seconds int64

// Duration is s as package time has it.
func (s Seconds) Duration() time.Duration { return time.Duration(s) * time.Second }

// The most that an order may have.
const (
	MaxMachines = 10000
	MaxWaves    = 20
	MaxRetries  = 10
	MaxSeconds  = 30 * 24 * 3600
)

// Validate reports every mistake in the limits.
func (l Limits) Validate() error {
	var errs []error
	if l.AtMost < 0 || l.AtMost > MaxMachines {
		errs = append(errs, fmt.Errorf("at most %d machines at once: use 0, for all, to %d", l.AtMost, MaxMachines))
	}
	for _, d := range []struct {
		what string
		is   Seconds
	}{{"pause", l.Pause}, {"time to begin", l.Begin}, {"time of silence", l.Silence}} {
		if d.is < 0 || d.is > MaxSeconds {
			errs = append(errs, fmt.Errorf("the %s is %d s: use 0 to %d s, which are 30 days", d.what, d.is,
				MaxSeconds))
		}
	}
	if l.Retries < 0 || l.Retries > MaxRetries {
		errs = append(errs, fmt.Errorf("%d retries: use 0 to %d", l.Retries, MaxRetries))
	}
	if _, err := ParseAllowance(string(l.Failures)); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(append(errs, checkWaves(l.Waves))...)
}

// Counts are how many machines of an order are in each state.
type Counts struct {
	Waiting   int `json:"waiting"`
	Given     int `json:"given"`
	Done      int `json:"done"`
	Failed    int `json:"failed"`
	Skipped   int `json:"skipped"`
	Cancelled int `json:"cancelled"`
}

// Add adds n machines in a state.
func (c *Counts) Add(s MachineState, n int) {
	switch s {
	case Waiting:
		c.Waiting += n
	case Given:
		c.Given += n
	case Finished:
		c.Done += n
	case Failed:
		c.Failed += n
	case Skipped:
		c.Skipped += n
	case MachineCancelled:
		c.Cancelled += n
	}
}

// Count counts the machines.
func (o Order) Count() (c Counts) {
	for _, m := range o.Machines {
		c.Add(m.State, 1)
	}
	return c
}
