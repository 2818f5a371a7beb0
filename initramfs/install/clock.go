package install

import (
	"slices"
	"strings"
	"time"

	"griddle/appliance/job"
	"griddle/appliance/layout/plan"
)

// clock sets the hardware clock, so that what the network said is not lost at the restart. The install is done: what
// goes wrong here is a warning.
func (w *work) clock() {
	if w.o.SetClock == nil {
		return
	}
	if d, ok := w.localTime(); ok {
		w.say("the hardware clock was not set: %s has Windows, which keeps it in local time; this system does too", d)
		return
	}
	now := time.Now()
	if err := w.o.SetClock(now); err != nil {
		w.warn("%v; check the date after the restart", err)
		return
	}
	w.say("the hardware clock was set to %s", now.UTC().Format("2006-01-02 15:04:05 UTC"))
}

// localTime is keepsLocalTime for this machine.
func (w *work) localTime() (job.Disk, bool) {
	if w.divided != nil {
		return keepsLocalTime(w.disks, "", w.divided.plan.Disks)
	}
	if w.kept { // what else is on the disk is still there
		return keepsLocalTime(w.disks, "", nil)
	}
	return keepsLocalTime(w.disks, w.target.Path, nil)
}

// keepsLocalTime finds a disk with a Windows that stays and may start: then the hardware clock has local time, and only
// its owner knows which. Of the disks of a plan what the plan leaves counts; without one nothing is left of the
// installed disk. Disks that can be taken out do not count.
func keepsLocalTime(disks []job.Disk, installed string, planned []plan.Disk) (job.Disk, bool) {
	for _, d := range disks {
		if d.Removable || d.Bus == "usb" {
			continue
		}
		i := slices.IndexFunc(planned, func(p plan.Disk) bool { return p.Is(d) })
		switch {
		case i >= 0:
			for _, p := range planned[i].After {
				if (p.Fate == plan.Stays || p.Fate == plan.Shrunk) && ofWindows(p.Type, p.Filesystem) {
					return d, true
				}
			}
		case d.Path != installed:
			for _, p := range d.Partitions {
				if ofWindows(p.Type, p.Filesystem) {
					return d, true
				}
			}
		}
	}
	return job.Disk{}, false
}

// ofWindows says whether a partition of this type, or with this filesystem, is a sign of a Windows.
func ofWindows(kind, filesystem string) bool {
	return kind == "Microsoft reserved" || kind == "Windows recovery" || strings.EqualFold(filesystem, "ntfs") ||
		strings.EqualFold(filesystem, "BitLocker")
}
