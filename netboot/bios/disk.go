package bios

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// What the program looks for, as disk.asm has it.
const (
	byGUID      = 0
	first       = 1
	bySignature = 2
)

// StartDisk returns the program that starts the drive whose partition table has this ID: the GUID of a GPT, for example
// "1b4e28ba-2fa1-11d2-883f-0016d3cca427", or the disk signature of an MBR as 8 hex digits, for example "1b4e28ba". If
// id is "", it starts the first drive that has a boot program.
//
// The program looks at the BIOS drives 0x80 to 0x8f and starts the boot sector of the right one, whatever number the
// BIOS gave it. If it finds no such drive, it returns 1. iPXE's own sanboot takes the number of a drive instead of a
// disk, and hangs at a boot sector that has a table but no program; this program never starts such a sector.
//
// Limits: the BIOS must have the extensions for large disks (EDD, since about 1998), and must offer the disk as a
// drive.
// The program reads only the copy of the GPT in sector 1.
func StartDisk(id string) ([]byte, error) {
	raw, err := hex.DecodeString(strings.ReplaceAll(id, "-", ""))
	switch {
	case id == "":
		return program(first, nil), nil
	case err == nil && len(id) == 8 && len(raw) == 4:
		slices.Reverse(raw) // little endian
		return program(bySignature, raw), nil
	case err != nil || len(raw) != 16 || len(id) != 36 || id[8] != '-' || id[13] != '-' || id[18] != '-' ||
		id[23] != '-':
		return nil, fmt.Errorf("making the program that starts a disk: %q is not the GUID of a GPT, nor the disk "+
			"signature of an MBR", id)
	}
	for _, field := range [][]byte{raw[:4], raw[4:6], raw[6:8]} { // are little endian
		slices.Reverse(field)
	}
	return program(byGUID, raw), nil
}

// program is disk.asm with what it looks for.
func program(kind byte, id []byte) []byte {
	return append(append([]byte(disk), kind), append(id, make([]byte, 16-len(id))...)...)
}

// disk is disk.asm without its last 17 bytes, as GNU as and ld make it by the lines at its top.
const disk = "" +
	"\x66\x60\x1e\x06\xfc\x31\xc0\x8e\xd8\x8e\xc0\xbe\x00\x7c\xbf\x00\x06\xb9\x00\x01\xf3\xa5\xea\x1b" +
	"\x06\x00\x00\xfb\x8a\x16\xe2\x06\xb4\x41\xbb\xaa\x55\xcd\x13\x72\x70\x81\xfb\x55\xaa\x75\x6a\xa0" +
	"\xf4\x06\xfe\xc8\x74\x3c\x79\x27\x66\xb8\x01\x00\x00\x00\xe8\x6d\x00\x72\x56\xbe\xda\x06\xbf\x00" +
	"\x7c\xb9\x08\x00\xf3\xa6\x75\x49\xbe\xf5\x06\xbf\x38\x7c\xb9\x10\x00\xf3\xa6\x75\x3c\xeb\x13\x66" +
	"\x31\xc0\xe8\x49\x00\x72\x32\x66\xa1\xf5\x06\x66\x39\x06\xb8\x7d\x75\x27\x66\x31\xc0\xe8\x36\x00" +
	"\x72\x1f\x81\x3e\xfe\x7d\x55\xaa\x75\x17\x83\x3e\x00\x7c\x00\x74\x10\x8a\x16\xe2\x06\x31\xc0\x8e" +
	"\xd0\xbc\x00\x7c\xea\x00\x7c\x00\x00\xfe\x06\xe2\x06\x80\x3e\xe2\x06\x90\x0f\x82\x76\xff\x07\x1f" +
	"\x66\x61\xb8\x01\x00\xcb\x66\xa3\xec\x06\xc6\x06\xe3\x06\x03\xc7\x06\xe6\x06\x01\x00\x8a\x16\xe2" +
	"\x06\xb4\x42\xbe\xe4\x06\xcd\x13\x73\x0f\x8a\x16\xe2\x06\xb4\x00\xcd\x13\xfe\x0e\xe3\x06\x75\xdf" +
	"\xf9\xc3\x45\x46\x49\x20\x50\x41\x52\x54\x80\x00\x10\x00\x01\x00\x00\x7c\x00\x00\x00\x00\x00\x00" +
	"\x00\x00\x00\x00"
