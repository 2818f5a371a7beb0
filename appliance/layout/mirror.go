package layout

import "fmt"

// MaxMirror is how many disks the pool of a layout can be on.
const MaxMirror = 2

// pools finds what is wrong with the partitions of the pool: it is on one disk, or a mirror of two. Each disk of a
// mirror has one half of it, and all that the machine starts from.
func (c *checker) pools(d Document) {
	disks, parts := 0, 0
	for _, disk := range d.Disks {
		n := disk.has(Pool)
		if parts += n; n > 0 {
			disks++
		}
	}
	const hint = "for a mirror give each of two disks one partition with use: pool"
	switch {
	case parts == 0:
		c.wrong("disks", "", "the layout has 0 partitions with use: pool, and needs one, or two for a mirror")
	case parts > disks:
		c.wrong("disks", hint, "the layout has %d partitions with use: pool on %s", parts, diskCount(disks))
	case disks > MaxMirror:
		c.wrong("disks", hint, "the layout has a pool on %d disks, and a mirror has %d", disks, MaxMirror)
	}
}

func diskCount(n int) string {
	if n == 1 {
		return "one disk"
	}
	return fmt.Sprintf("%d disks", n)
}

// Mirrors says whether the pool of the document is a mirror of two disks.
func (d Document) Mirrors() bool {
	n := 0
	for _, disk := range d.Disks {
		n += disk.has(Pool)
	}
	return n > 1
}

// whole is a disk that has nothing but a system.
func (f Form) whole(d Disk, bios, esp, pool Partition) Disk {
	d.Wipe, d.Blank = f.Wipe, !f.Wipe
	if d.Partitions = []Partition{bios, esp, pool}; f.Table == MBR {
		d.Partitions = []Partition{esp, pool}
	} else {
		d.Table = GPT
	}
	return d
}

// mirror is the long form of Mirror. The partitions of the second disk have a 2 behind their names.
func (f Form) mirror() Document {
	out := Document{Version: f.Version}
	for _, half := range []struct {
		id, number string
		match      *Match
	}{{"main", "", &f.Match}, {"second", "2", f.With}} {
		d := Disk{ID: half.id, Table: f.Table}
		if half.match != nil {
			d.Match = *half.match
		}
		out.Disks = append(out.Disks, f.whole(d, Partition{ID: "bios" + half.number, Use: BIOS},
			Partition{ID: "esp" + half.number, Use: ESP},
			Partition{ID: "pool" + half.number, Use: Pool, Size: Size{Rest: true}}))
	}
	return out
}
