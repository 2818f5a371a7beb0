// Package hardware reads and sets what a PC's firmware keeps: the drives that the BIOS knows, and the hardware clock.
//
// BIOSDrives needs the module edd to be loaded first; SetClock needs a driver for the clock. The formats are the
// kernel's: drivers/firmware/edd.c and rtc(4).
package hardware

import (
	"io/fs"
	"strconv"
	"strings"
)

// maxEDD is how many drives the kernel asks the BIOS for, and no more (EDDMAXNR, include/uapi/linux/edd.h).
const maxEDD = 6

// BIOSDrives are the sizes, in sectors of 512 bytes, of the drives that the BIOS offered at boot, which the module edd
// shows (drivers/firmware/edd.c). It is nil where that is not known: no module, a BIOS without the extensions, or so
// many drives that some are missing. sys is /sys.
func BIOSDrives(sys fs.FS) []int64 {
	const dir = "firmware/edd"
	entries, err := fs.ReadDir(sys, dir)
	if err != nil || len(entries) >= maxEDD {
		return nil
	}
	var out []int64
	for _, e := range entries {
		b, err := fs.ReadFile(sys, dir+"/"+e.Name()+"/sectors")
		if err != nil {
			return nil
		}
		n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
		if err != nil || n <= 0 {
			return nil
		}
		out = append(out, n)
	}
	return out
}
