// Package life is the life of a machine: the states in which the server has it, and what brings it from one to the
// next.
//
// Call Facts.State with what the server knows: the state follows from that alone, so that it cannot contradict the
// records. Steps lists every way from one state to another, and Why finds the one that was taken. May says whether an
// operator can retire a machine now. The drawing in docs/GROUPS.md is made from Steps, and a test compares the two.
//
// The package is pure: it knows no store and no clock.
package life

import (
	"fmt"
	"slices"
)

// State is where a machine is in its life.
type State string

// The states.
const (
	None       State = "" // before the server knows the machine
	Discovered State = "discovered"
	Approved   State = "approved"
	Ready      State = "ready"
	Installing State = "installing"
	Deployed   State = "deployed"
	Updating   State = "updating"
	Away       State = "away"
	Erasing    State = "erasing"
	Broken     State = "broken"
	Retired    State = "retired"
)

// States are all of them with what they mean, in the order of a life.
var States = []struct {
	State   State
	Meaning string
}{
	{Discovered, "It was seen on the network, and no operator named it: all that is known of it is a claim."},
	{Approved, "An operator named it or approved it, and the agent has not run on it yet."},
	{Ready, "The agent reported its hardware, and it has no system: it can be installed."},
	{Installing, "It writes an image to its disk, or the new system has not reported yet."},
	{Deployed, "It has a system that reported."},
	{Updating, "It makes, starts or proves another root, beside the one that it has."},
	{Away, "It is deployed, and its service has not checked in for three intervals."},
	{Erasing, "It erases one of its disks."},
	{Broken, "What is on its disk is incomplete, or its new system did not report in time: a person must look."},
	{Retired, "An operator took it out of use. It gets no jobs, and its record stays."},
}

// Work is what a machine is doing for a job.
type Work int

// The values of Work.
const (
	Idle     Work = iota
	Installs      // it writes an image, or its new system has time left to report
	Updates       // it carries out an update, or its new root has not proved itself
	Erases        // it erases a disk
)

// Facts is what the server knows of a machine.
type Facts struct {
	Named    bool // an operator named it, or approved a boot of it
	Known    bool // its hardware is known
	Deployed bool // it has a system that reported
	Silent   bool // the service of that system does not check in
	Work     Work
	Half     bool // what the last job did to its disk is incomplete, or the system that it made does not report
	Retired  bool
}

// State is the state that the facts make.
func (f Facts) State() State {
	switch {
	case f.Retired:
		return Retired
	case f.Work == Erases:
		return Erasing
	case f.Work == Installs:
		return Installing
	case f.Work == Updates:
		return Updating
	case f.Half:
		return Broken
	case f.Deployed && f.Silent:
		return Away
	case f.Deployed:
		return Deployed
	case !f.Named:
		return Discovered
	case f.Known:
		return Ready
	}
	return Approved
}

// Step is a way from states to a state, and what happens on it.
type Step struct {
	From []State
	To   State
	What string // a clause with the machine as "it"
}

// Steps are all ways. Of each pair of states there is at most one.
var Steps = []Step{
	{[]State{None}, Discovered, "it is seen on the network"},
	{[]State{None, Discovered}, Approved, "an operator names it"},
	{[]State{Discovered}, Ready, "an operator names it, and its hardware is known"},
	{[]State{Approved}, Ready, "the agent reports its hardware"},
	{[]State{Ready}, Approved, "the server had no room for what the agent reported"},
	{[]State{Discovered, Ready, Deployed, Away, Broken}, Installing, "an install begins to write"},
	{[]State{Installing, Ready, Broken}, Deployed, "its system reports"},
	{[]State{Installing}, Broken, "the install ended before it was done, or its system did not report in time"},
	{[]State{Installing}, Ready, "what a screen had chosen ended, and it has no system of an operator's job"},
	{[]State{Installing}, Away, "what a screen had chosen ended, and its service is silent"},
	{[]State{Deployed}, Away, "its service is silent for three intervals"},
	{[]State{Away}, Deployed, "its service checks in again"},
	{[]State{Ready, Installing, Deployed, Away, Broken}, Updating, "an update begins"},
	{[]State{Updating}, Deployed, "the new root proved itself, or it keeps the root that it had"},
	{[]State{Updating}, Away, "the update ended, and its service is silent"},
	{[]State{Updating}, Ready, "the update ended, and no system of it is known"},
	{[]State{Updating}, Broken, "the update ended, and the system of an install before it never reported"},
	{[]State{Updating}, Installing, "the update ended, and the system of an install before it has not reported yet"},
	{[]State{Ready, Installing, Deployed, Away, Broken}, Erasing, "an erase begins"},
	{[]State{Erasing}, Ready, "its disk is erased, and it has no system"},
	{[]State{Erasing}, Deployed, "another disk than that of its system is erased"},
	{[]State{Erasing}, Away, "another disk is erased, and its service is silent"},
	{[]State{Erasing}, Broken, "the erase ended before it was done"},
	{[]State{Discovered, Approved, Ready, Deployed, Away, Broken}, Retired, "an operator retires it"},
	{[]State{Retired}, Approved, "an operator takes it back into use"},
	{[]State{Retired}, Ready, "an operator takes it back into use, and its hardware is known"},
	{[]State{Retired}, Deployed, "an operator takes it back into use, and its system had reported"},
	{[]State{Retired}, Away, "an operator takes it back into use, and its service is silent"},
	{[]State{Retired}, Broken, "an operator takes it back into use, and its disk is incomplete"},
}

// Why says what brought a machine from one state to another, "" for a pair that has no step: two records that were
// merged, for example.
func Why(from, to State) string {
	for _, s := range Steps {
		if s.To == to && slices.Contains(s.From, from) {
			return s.What
		}
	}
	return ""
}

// MayRetire is nil if an operator can retire a machine that is in this state.
func MayRetire(now State) error {
	if now == Retired {
		return fmt.Errorf("it is retired already")
	}
	if Why(now, Retired) == "" {
		return fmt.Errorf("it is %s; wait for the end of its job, or cancel that", now)
	}
	return nil
}

// MustBe returns the state that is called name.
func MustBe(name string) (State, bool) {
	for _, s := range States {
		if string(s.State) == name {
			return s.State, true
		}
	}
	return None, false
}
