package layout

import (
	"fmt"
	"slices"
)

// A machine has its systems in a pool, or each in a partition of its own: for images whose kernel knows no btrfs. Then
// the layout has, on one disk,
//
//	two partitions with use: root        ext4 or xfs; the machine runs one of them, and an update fills the other
//	one partition with use: persistent   ext4; what both share: /persistent, and /home if no partition is for that
//	an esp, and for a BIOS a bios        as with a pool
//
// Their IDs are the names of the roots and the labels of their filesystems. Such a layout is always made: it never
// keeps a root, so that a machine that is installed again with it loses both roots and what they share.

// roots checks a document with roots that are partitions.
func (c *checker) roots(d Document) {
	if d.hasAny(Pool) {
		c.wrong("disks", "leave out one of them", "the layout has a pool, and roots that are partitions")
	}
	disks := 0
	for i, disk := range d.Disks {
		at := fmt.Sprintf("disks[%d].partitions", i)
		roots, shared := disk.has(Root), disk.has(Persistent)
		if roots+shared == 0 {
			continue
		}
		if disks++; disks == 2 {
			c.wrong(at, "have them on one disk", "another disk has partitions with use: root or persistent too")
		}
		if disk.has(ESP) == 0 {
			c.wrong(at, "add {id: esp, use: esp}", "the disk of the roots has no esp, where GRUB has its configuration")
		}
		if roots != 2 || shared != 1 {
			c.wrong(at, "have two partitions with use: root and one with use: persistent",
				"it has %d partitions with use: root and %d with use: persistent", roots, shared)
		}
	}
}

// hasAny says whether a partition of the document has one of these uses.
func (d Document) hasAny(uses ...string) bool {
	return slices.ContainsFunc(d.Disks, func(disk Disk) bool {
		return slices.ContainsFunc(uses, func(use string) bool { return disk.has(use) > 0 })
	})
}

// HasRoots says whether the systems of the machine are in partitions of their own, and not in a pool.
func (d Document) HasRoots() bool { return d.hasAny(Root) }
