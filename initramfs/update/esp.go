package update

import (
	"os"
	"strings"

	"griddle/initramfs/disk"
	"griddle/initramfs/sysroot"
)

// espID is the number of the EFI system partition, as fstab names a FAT filesystem: "1234-ABCD". Where the partition
// cannot be read it is the one that the old root mounts; "" for none.
func (w *work) espID(old *os.Root) string {
	if id, err := disk.FATID(w.Place.ESP); err == nil {
		return id
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
