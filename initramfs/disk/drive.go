package disk

import (
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// Whether a disk has platters that turn.
const (
	Rotates = "yes"
	Solid   = "no"
)

// rotational is what the kernel says, "" where that means nothing: it calls every disk rotational that does not tell,
// as virtual disks and most of those behind USB do (drivers/block/virtio_blk.c, drivers/scsi/sd.c).
func rotational(attr, bus string) string {
	switch {
	case attr == "0":
		return Solid
	case attr == "1" && bus != "virtio" && bus != "usb" && bus != "mmc":
		return Rotates
	}
	return ""
}

// sector is a size of sectors in bytes from sysfs, or else.
func sector(attr string, or int) int {
	if n, err := strconv.Atoi(attr); err == nil && n >= 512 && n <= 65536 {
		return n
	}
	return or
}

// bootAreas lists the device files of the areas that an eMMC has beside its disk: its boot partitions, and what its
// maker set aside. The kernel shows them as disks of their own (Documentation/mmc/mmc-dev-parts.rst).
func bootAreas(sys fs.FS, name string) []string {
	if !strings.HasPrefix(name, "mmcblk") {
		return nil
	}
	var areas []string
	for _, kind := range []string{"boot", "gp"} {
		for i := range 4 {
			area := name + kind + strconv.Itoa(i)
			if attribute(sys, path.Join("block", area, "size")) != "" {
				areas = append(areas, "/dev/"+area)
			}
		}
	}
	return areas
}
