package update

import (
	"fmt"
	"io"
	"os"
	"strings"

	"griddle/initramfs/sysroot"
)

// espID is the number of the EFI system partition, as fstab names a FAT filesystem: "1234-ABCD". Where the partition
// cannot be read it is the one that the old root mounts; "" for none.
func (w *work) espID(old *os.Root) string {
	if f, err := os.Open(w.Place.ESP); err == nil {
		defer f.Close()
		if id, ok := fatID(f); ok {
			return id
		}
	}
	if old == nil {
		return ""
	}
	b, _ := sysroot.Dir{Root: old}.Read("etc/fstab")
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) > 1 && f[1] == "/boot/efi" {
			if id, ok := strings.CutPrefix(f[0], "UUID="); ok {
				return id
			}
		}
	}
	return ""
}

// fatID reads the serial number in the boot sector of a FAT32 filesystem, or of a FAT12 or FAT16 (Microsoft's FAT
// specification 1.03, BS_VolID).
func fatID(r io.ReaderAt) (string, bool) {
	var b [512]byte
	if _, err := r.ReadAt(b[:], 0); err != nil || b[510] != 0x55 || b[511] != 0xaa {
		return "", false
	}
	for _, at := range []struct {
		id   int
		kind string
	}{{0x43, "FAT32"}, {0x27, "FAT1"}} {
		if strings.HasPrefix(string(b[at.id+15:at.id+23]), at.kind) {
			return fmt.Sprintf("%02X%02X-%02X%02X", b[at.id+3], b[at.id+2], b[at.id+1], b[at.id]), true
		}
	}
	return "", false
}
