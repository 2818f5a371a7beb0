package install

import (
	"strings"
	"time"

	"griddle/appliance/job"
)

// clock sets the hardware clock, so that what the network said is not lost at the restart. The install is done: what
// goes wrong here is a warning.
func (w *work) clock(disks []job.Disk) {
	if w.o.SetClock == nil {
		return
	}
	if d, ok := keepsLocalTime(disks, w.target.Path); ok {
		w.say("the hardware clock was not set: %s has Windows, which keeps it in local time", d)
		return
	}
	now := time.Now()
	if err := w.o.SetClock(now); err != nil {
		w.warn("%v; check the date after the restart", err)
		return
	}
	w.say("the hardware clock was set to %s", now.UTC().Format("2006-01-02 15:04:05 UTC"))
}

// keepsLocalTime finds a disk beside the installed one that a Windows may boot from: then the hardware clock has local
// time, and only its owner knows which. Disks that can be taken out do not count, and neither does the installed one,
// of which nothing is left.
func keepsLocalTime(disks []job.Disk, installed string) (job.Disk, bool) {
	for _, d := range disks {
		if d.Path == installed || d.Removable || d.Bus == "usb" {
			continue
		}
		for _, p := range d.Partitions {
			switch {
			case p.Type == "Microsoft reserved", p.Type == "Windows recovery", strings.EqualFold(p.Filesystem, "ntfs"),
				strings.EqualFold(p.Filesystem, "BitLocker"):
				return d, true
			}
		}
	}
	return job.Disk{}, false
}
