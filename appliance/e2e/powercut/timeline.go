package powercut

import (
	"regexp"
	"slices"
	"time"

	"griddle/appliance/job"
)

// Kind is what is done to a machine.
type Kind string

// The kinds.
const (
	Live      Kind = "live"      // an update of the system that runs
	Network   Kind = "network"   // an update by the boot image
	Reinstall Kind = "reinstall" // an install into the pool that there is
	First     Kind = "first"     // an install on an empty disk, beside one that is full of data
)

// Step is a part of what is done. One of the three says how it begins. A first step without one begins when the machine
// is switched on.
type Step struct {
	Name    string
	Console string        // a line of the machine, a regular expression
	Phase   job.Phase     // of the job in the server's journal
	Event   string        // of QEMU, a regular expression
	Usual   time.Duration // how long it takes on a computer without hardware virtualization
}

// Entry is a regular expression of the entries that the server's journal has of the step of a job, as `machine log`
// prints them in JSON. The journal has entries of earlier jobs too.
func (s Step) Entry(id string) string {
	return `"job":"` + regexp.QuoteMeta(id) + `","phase":"` + string(s.Phase) + `"`
}

// Timeline are the steps of a kind, in order. A restart by kexec has none of the firmware.
func Timeline(k Kind, kexec bool) []Step {
	const second = time.Second
	boot := []Step{
		{Name: "firmware", Event: `^RESET$`, Usual: 5 * second},
		{Name: "kernel", Console: `Linux version `, Usual: 6 * second},
		{Name: "root", Console: `griddle: the root is on `, Usual: 5 * second},
		{Name: "userspace", Console: `systemd\[1\]: .*running in system mode`, Usual: 20 * second},
		{Name: "health", Console: `all checks passed`, Usual: 3 * second},
		{Name: "blessed", Console: `blessed: this is the good root now`, Usual: 5 * second},
	}
	if kexec {
		boot = boot[1:]
	}
	var work []Step
	switch k {
	case Live:
		work = []Step{
			{Name: "order", Console: `updating to `, Usual: second},
			{Name: "check", Console: `checking .* and the pool`, Usual: second},
			{Name: "receive", Console: `receiving .* streams`, Usual: 3 * second},
			{Name: "verify", Console: `comparing the received files`, Usual: 8 * second},
			{Name: "bootable", Console: `creating the new root`, Usual: 2 * second},
			{Name: "switch", Console: `the next start takes `, Usual: 6 * second},
			{Name: "restart", Console: `restarting into `, Usual: 4 * second},
		}
	case Network:
		work = []Step{
			{Name: "boot image", Usual: 12 * second},
			{Name: "check", Phase: job.PhaseCheck, Usual: 3 * second},
			{Name: "receive", Phase: job.PhaseReceive, Usual: 4 * second},
			{Name: "verify", Phase: job.PhaseVerify, Usual: 5 * second},
			{Name: "bootable", Phase: job.PhaseBootable, Usual: 5 * second},
			{Name: "switch", Phase: job.PhaseSwitch, Usual: 6 * second},
		}
	case Reinstall, First:
		work = []Step{
			{Name: "boot image", Usual: 12 * second},
			{Name: "check", Phase: job.PhaseCheck, Usual: 3 * second},
			{Name: "receive", Phase: job.PhaseReceive, Usual: 6 * second},
			{Name: "verify", Phase: job.PhaseVerify, Usual: 5 * second},
			{Name: "bootable", Phase: job.PhaseBootable, Usual: 6 * second},
			{Name: "finish", Phase: job.PhaseFinish, Usual: 6 * second},
		}
	}
	return slices.Concat(work, boot)
}
