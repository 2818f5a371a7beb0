package way

import (
	"slices"

	"griddle/appliance/job"
	"griddle/appliance/layout"
)

// mirroring is the way that uses two whole disks, of which each has all of the pool.
func (m Model) mirroring() option {
	o := option{name: "Mirror of two disks", says: "EVERYTHING on both is lost",
		about: "This disk and another one get new partition tables, and the pool is on both: each of them has all " +
			"of it, and the machine starts from each. If one disk fails, nothing in the pool is lost. The next page " +
			"asks for the other disk."}
	if m.disk.Blank() {
		o.says = "each has all of the pool, so that one may fail"
	}
	others := slices.DeleteFunc(slices.Clone(m.disks), func(d job.Disk) bool { return d.Path == m.disk.Path })
	return among(o, "Which disk is the other half of the mirror?", "this machine has no other disk", others, m.mirrored)
}

// mirrored is the option that has d as the other half.
func (m Model) mirrored(d job.Disk) option {
	with, loss := match(d, m.disks), d.Loss()
	if d.Blank() {
		loss = Blank(d)
	}
	o := option{name: job.Printable(d.Path) + ", " + job.Bytes(d.Size), says: loss, about: "Everything on " +
		job.Printable(m.disk.Path) + " is lost, and everything on " + d.String() + ": " + loss + ". The pool is as " +
		"large as the smaller disk."}
	return m.plans(o, layout.Form{Layout: layout.Mirror, With: &with, Wipe: !m.disk.Blank() || !d.Blank()})
}

// halves are the other disks that the pool of the disk is on.
func (m Model) halves() []job.Disk {
	id := ""
	for _, p := range m.disk.Partitions {
		if m.disk.HasPool(p) {
			id = p.UUID
		}
	}
	return slices.DeleteFunc(slices.Clone(m.disks), func(d job.Disk) bool {
		return id == "" || d.Path == m.disk.Path || !slices.ContainsFunc(d.Partitions, func(p job.Partition) bool {
			return d.HasPool(p) && p.UUID == id
		})
	})
}
