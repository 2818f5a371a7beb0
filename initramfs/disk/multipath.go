package disk

import (
	"reflect"
	"slices"

	"griddle/initramfs/disk/content"
)

// joinPaths makes one disk of those that are one: a disk with two cables has two names, and what is written to one
// changes the other. failed tells which could not be read; the name of one that could be comes first.
func joinPaths(disks []Disk, failed []bool) []Disk {
	var joined []Disk
	var bad []bool
	for i, d := range disks {
		at := slices.IndexFunc(joined, func(o Disk) bool { return sameHardware(o, d) })
		if at < 0 || !failed[i] && !bad[at] && !sameContent(joined[at].Content, d.Content) {
			joined, bad = append(joined, d), append(bad, failed[i])
			continue
		}
		o := joined[at]
		paths := append(o.pathsOr(), d.Path)
		if bad[at] && !failed[i] {
			o, bad[at] = d, false
			paths = append([]string{d.Path}, paths[:len(paths)-1]...)
		} else if !failed[i] && !d.Blank() {
			o.Sampled = d.Sampled
		}
		o.Paths = paths
		joined[at] = o
	}
	return joined
}

func (d Disk) pathsOr() []string {
	if len(d.Paths) == 0 {
		return []string{d.Path}
	}
	return slices.Clone(d.Paths)
}

// sameHardware says whether two names are of one disk: WWN, serial and size are the same, on a bus where a disk can
// have several paths. A SATA or USB disk has one cable, so that two of these with the same names are two disks whose
// maker gave all of them one serial.
func sameHardware(a, b Disk) bool {
	several := a.Bus == "scsi" || a.Bus == "nvme"
	return several && a.Bus == b.Bus && a.WWN != "" && a.WWN == b.WWN && a.Serial != "" && a.Serial == b.Serial &&
		a.Size == b.Size && a.SectorSize == b.SectorSize
}

// sameContent compares all but samples, which are of random places.
func sameContent(a, b content.Content) bool {
	a.Sampled, b.Sampled = "", ""
	return reflect.DeepEqual(a, b)
}
