package job

import (
	"fmt"
	"slices"
	"strings"
)

// Whether a disk has platters that turn: the values of Disk.Rotational that are known.
const (
	Rotates = "yes"
	Solid   = "no"
)

// Hardware describes what kind of disk it is, in one line for people; "" if nothing is known.
func (d Disk) Hardware() string {
	var parts []string
	switch d.Rotational {
	case Rotates:
		parts = append(parts, "hard disk")
	case Solid:
		parts = append(parts, "SSD")
	}
	if bus := Printable(d.Bus); bus != "" {
		parts = append(parts, "transport "+bus)
	}
	if d.Removable {
		parts = append(parts, "removable")
	}
	if f := Printable(d.Firmware); f != "" {
		parts = append(parts, "firmware "+f)
	}
	switch {
	case d.SectorSize == 512 && d.PhysicalSector == 4096:
		parts = append(parts, "sectors of 512 bytes, 4096 inside (512e)")
	case d.SectorSize == 4096:
		parts = append(parts, "sectors of 4096 bytes (4Kn)")
	}
	if h := d.Health.String(); h != "" {
		parts = append(parts, h)
	}
	if areas := printables(d.BootAreas); areas != "" {
		parts = append(parts, "beside it "+areas)
	}
	return strings.Join(parts, ", ")
}

// Warnings says in words what a person should know before choosing d among the disks of its machine.
func (d Disk) Warnings(disks []Disk) []string {
	var out []string
	if w := d.Health.Warning(); w != "" {
		out = append(out, w)
	}
	if len(d.Paths) > 1 {
		out = append(out, fmt.Sprintf("this is one disk with %d paths: %s", len(d.Paths), printables(d.Paths)))
	}
	var twins []string
	for _, o := range disks {
		if o.Path != d.Path && d.Serial != "" && o.Serial == d.Serial {
			twins = append(twins, o.Path)
		}
	}
	if len(twins) > 0 {
		out = append(out, "the same serial has "+printables(twins))
	}
	return out
}

// printables is at most four strings in one, and the number of the others.
func printables(list []string) string {
	var out []string
	for i, s := range list {
		if i == 4 && len(list) > 5 {
			out = append(out, fmt.Sprintf("and %d more", len(list)-i))
			break
		}
		out = append(out, Printable(s))
	}
	return strings.Join(out, ", ")
}

// allPaths lists the names of d's device file.
func (d Disk) allPaths() []string {
	if len(d.Paths) == 0 {
		return []string{d.Path}
	}
	return d.Paths
}

// hasPath says whether one of the names of d's device file is path.
func (d Disk) hasPath(path string) bool { return path == d.Path || slices.Contains(d.Paths, path) }
