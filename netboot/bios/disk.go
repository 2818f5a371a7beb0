package bios

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// StartDisk returns the program that starts the drive whose GPT has this GUID, for example
// "1b4e28ba-2fa1-11d2-883f-0016d3cca427". If guid is "", it starts the first drive that has a boot program.
//
// The program looks at the BIOS drives 0x80 to 0x8f and starts the boot sector of the right one, whatever number the
// BIOS gave it. If it finds no such drive, it returns 1. iPXE's own sanboot takes the number of a drive instead of a
// disk, and hangs at a boot sector that has a table but no program; this program never starts such a sector.
//
// Limits: the BIOS must have the extensions for large disks (EDD, since about 1998), and must offer the disk as a
// drive.
// The program reads only the copy of the GPT in sector 1.
func StartDisk(guid string) ([]byte, error) {
	if guid == "" {
		return append([]byte(disk), append([]byte{1}, make([]byte, 16)...)...), nil
	}
	raw, err := hex.DecodeString(strings.ReplaceAll(guid, "-", ""))
	if err != nil || len(raw) != 16 || len(guid) != 36 || guid[8] != '-' || guid[13] != '-' ||
		guid[18] != '-' || guid[23] != '-' {
		return nil, fmt.Errorf("making the program that starts a disk: %q is not a GUID", guid)
	}
	// The first three fields are little endian.
	raw[0], raw[1], raw[2], raw[3] = raw[3], raw[2], raw[1], raw[0]
	raw[4], raw[5] = raw[5], raw[4]
	raw[6], raw[7] = raw[7], raw[6]
	return append([]byte(disk), append([]byte{0}, raw...)...), nil
}

// disk is disk.asm without its last 17 bytes, as GNU as and ld make it by the lines at its top.
const disk = "" +
	"\x66\x60\x1e\x06\xfc\x31\xc0\x8e\xd8\x8e\xc0\xbe\x00\x7c\xbf\x00\x06\xb9\x00\x01\xf3\xa5\xea\x1b" +
	"\x06\x00\x00\xfb\x8a\x16\xc9\x06\xb4\x41\xbb\xaa\x55\xcd\x13\x72\x59\x81\xfb\x55\xaa\x75\x53\x80" +
	"\x3e\xdb\x06\x00\x75\x25\x66\xb8\x01\x00\x00\x00\xe8\x56\x00\x72\x41\xbe\xc1\x06\xbf\x00\x7c\xb9" +
	"\x08\x00\xf3\xa6\x75\x34\xbe\xdc\x06\xbf\x38\x7c\xb9\x10\x00\xf3\xa6\x75\x27\x66\x31\xc0\xe8\x34" +
	"\x00\x72\x1f\x81\x3e\xfe\x7d\x55\xaa\x75\x17\x83\x3e\x00\x7c\x00\x74\x10\x8a\x16\xc9\x06\x31\xc0" +
	"\x8e\xd0\xbc\x00\x7c\xea\x00\x7c\x00\x00\xfe\x06\xc9\x06\x80\x3e\xc9\x06\x90\x72\x8f\x07\x1f\x66" +
	"\x61\xb8\x01\x00\xcb\x66\xa3\xd3\x06\xc6\x06\xca\x06\x03\xc7\x06\xcd\x06\x01\x00\x8a\x16\xc9\x06" +
	"\xb4\x42\xbe\xcb\x06\xcd\x13\x73\x0f\x8a\x16\xc9\x06\xb4\x00\xcd\x13\xfe\x0e\xca\x06\x75\xdf\xf9" +
	"\xc3\x45\x46\x49\x20\x50\x41\x52\x54\x80\x00\x10\x00\x01\x00\x00\x7c\x00\x00\x00\x00\x00\x00\x00" +
	"\x00\x00\x00"
