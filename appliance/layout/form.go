package layout

// Form is a document in its short form: one of the ways to divide one disk that most people want.
type Form struct {
	Version   int     `json:"version"`
	Layout    string  `json:"layout"` // WholeDisk…
	Match     Match   `json:"match"`
	With      *Match  `json:"with,omitempty"`  // the other disk; only with Mirror
	Table     string  `json:"table,omitempty"` // only with WholeDisk and Mirror
	Wipe      bool    `json:"wipe,omitempty"`
	Partition *Which  `json:"partition,omitempty"` // only with OnePartition, and with Shrunk
	Shrink    *Shrink `json:"shrink,omitempty"`    // only with Shrunk
}

// The values of Form.Layout.
const (
	WholeDisk    = "whole-disk" // nothing else is on the disk: it is blank, or wipe is true
	FreeSpace    = "free-space" // the pool goes where no partition is
	OnePartition = "partition"  // the pool goes where a partition is, and that one is lost
	KeepPool     = "keep-pool"  // the pool is there, and stays
	Shrunk       = "shrink"     // a filesystem is shrunk, and the pool goes behind it
	Mirror       = "mirror"     // the pool is on two whole disks, each of which has all of it
)

// Forms are the values of Form.Layout.
var Forms = []string{WholeDisk, FreeSpace, OnePartition, KeepPool, Shrunk, Mirror}

// Check finds what is wrong with the form itself. Check of its Document finds the rest.
func (f Form) Check() Mistakes {
	var all Mistakes
	only := func(key string, given bool, with string, allowed bool) {
		if given && !allowed {
			all = append(all, Mistake{key, "it is for layout " + with + " only", "leave it out"})
		}
	}
	whole := f.Layout == WholeDisk || f.Layout == Mirror
	only("table", f.Table != "", WholeDisk+" and "+Mirror, whole)
	only("wipe", f.Wipe, WholeDisk+", "+OnePartition+" and "+Mirror, whole || f.Layout == OnePartition)
	only("with", f.With != nil, Mirror, f.Layout == Mirror)
	only("partition", f.Partition != nil, OnePartition+" and "+Shrunk, f.Layout == OnePartition || f.Layout == Shrunk)
	only("shrink", f.Shrink != nil, Shrunk, f.Layout == Shrunk)
	switch {
	case f.Layout == OnePartition && f.Partition == nil:
		all = append(all, Mistake{"", "the key partition is missing: which partition is meant",
			"write partition: {label: …}, with number, name, label or filesystem"})
	case f.Layout == OnePartition && !f.Wipe:
		all = append(all, Mistake{"", "the partition is overwritten, and the key wipe is missing",
			"if its content may be lost, write wipe: true"})
	case f.Layout == Mirror && f.With == nil:
		all = append(all, Mistake{"", "the key with is missing: which disk is the other one",
			"write with: {path: /dev/nvme1n1}, with the keys of match"})
	case f.Layout == Shrunk && f.Shrink == nil:
		all = append(all, Mistake{"", "the key shrink is missing: how far",
			"write shrink: {by: 60G}, with to, by or leave"})
	}
	return all
}

// Document is the same in the long form.
func (f Form) Document() Document {
	d := Disk{ID: "main", Match: f.Match, Table: f.Table}
	esp, bios := Partition{ID: "esp", Use: ESP}, Partition{ID: "bios", Use: BIOS}
	pool := Partition{ID: "pool", Use: Pool, Size: Size{Rest: true}}
	switch f.Layout {
	case WholeDisk:
		d = f.whole(d, bios, esp, pool)
	case Mirror:
		return f.mirror()
	case FreeSpace:
		d.Partitions = []Partition{bios, esp, pool}
	case OnePartition:
		pool.Match, pool.Size, pool.Wipe = f.Partition, Size{}, f.Wipe
		d.Partitions = []Partition{esp, pool}
	case KeepPool:
		esp.Keep, pool.Keep, pool.Size = true, true, Size{}
		d.Partitions = []Partition{esp, pool}
	case Shrunk:
		old := Partition{ID: "shrunk", Match: f.Partition, Shrink: f.Shrink}
		d.Partitions = []Partition{old, bios, esp, pool}
	}
	return Document{Version: f.Version, Disks: []Disk{d}}
}
