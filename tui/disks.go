package tui

import (
	"strings"

	"github.com/charmbracelet/x/ansi"

	"griddle/appliance/job"
	"griddle/tui/frame"
)

// blank says what the samples of a blank disk showed.
func blank(d job.Disk) string {
	if d.Sampled == job.Ones {
		return "blank: all sampled bytes are 0xff"
	}
	return "blank: all sampled bytes are zero"
}

// diskName names a disk in one line of width cells. Its model is cut first, its serial only in the middle.
func diskName(d job.Disk, width int) string {
	known := d
	known.Model = ""
	if ansi.StringWidth(known.String()) > width {
		return frame.CutMiddle(known.String(), width)
	}
	return cut(d.String(), width)
}

// deviceName is the name of a disk's device file without its folder.
func deviceName(d job.Disk) string { return strings.TrimPrefix(job.Printable(d.Path), "/dev/") }
