// Package hardware reads and sets what a PC's firmware keeps: the drives that the BIOS knows, and the hardware clock.
//
// BIOSDrives and FirstDrive need the module edd to be loaded first; SetClock needs a driver for the clock. The formats
// are the kernel's: drivers/firmware/edd.c and rtc(4).
package hardware

import (
	"fmt"
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

// Drive is a drive as the BIOS offered it at boot.
type Drive struct {
	Sectors   int64  // of 512 bytes; 0 if not known
	Signature string // of its MBR then, as 8 hex digits: "00a1b2c3"; "" if not known
}

// FirstDrive is the drive from which the BIOS starts what it does not start from the network: number 0x80. ok is false
// if nothing is known of it. sys is /sys.
func FirstDrive(sys fs.FS) (d Drive, ok bool) {
	const dir = "firmware/edd/int13_dev80/"
	number := func(name string, bits int) int64 {
		b, err := fs.ReadFile(sys, dir+name)
		if err != nil {
			return 0
		}
		n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 0, bits)
		if err != nil {
			return 0
		}
		return int64(n)
	}
	d.Sectors = number("sectors", 54)
	if id := number("mbr_signature", 32); id != 0 {
		d.Signature = fmt.Sprintf("%08x", id)
	}
	return d, d != Drive{}
}
