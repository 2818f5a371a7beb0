package layout

import (
	"fmt"
	"io"
	"strings"
)

// Raid is an array of the kernel (md): one volume of several partitions, each on a disk of its own.
type Raid struct {
	ID      string   `json:"id"`
	Level   int      `json:"level"`   // 1: each device has everything
	Devices []string `json:"devices"` // IDs of partitions with use: raid
	Content
}

// Group is a volume group of LVM.
type Group struct {
	ID      string    `json:"id"`      // also its name
	Devices []string  `json:"devices"` // IDs of partitions or arrays with use: lvm
	Volumes []Logical `json:"lvm_partitions"`
}

// Logical is a logical volume of a group.
type Logical struct {
	ID   string `json:"id"`   // also its name
	Size Size   `json:"size"` // percents and the rest are of the group
	Content
}

// Content is what a volume is for. The keys are those of a partition.
type Content struct {
	Use        string `json:"use"` // Data, Home, Swap; of an array LVM too
	Filesystem string `json:"filesystem,omitempty"`
	Label      string `json:"label,omitempty"`
	Mount      string `json:"mount,omitempty"`
}

// The uses of partitions that are parts of volumes.
const (
	RAID = "raid" // of an array
	LVM  = "lvm"  // of a volume group
)

// Partition is the content as a partition with an ID has it.
func (c Content) Partition(id string) Partition {
	return Partition{ID: id, Use: c.Use, Filesystem: c.Filesystem, Label: c.Label, Mount: c.Mount}
}

// HasVolumes says whether the document has arrays or volume groups. Only an agent with job.FeatureVolumes makes them.
func (d Document) HasVolumes() bool { return len(d.Raids)+len(d.Groups) > 0 }

// part is the partition with an ID, and the ID of its disk.
func (d Document) part(id string) (p Partition, disk string, ok bool) {
	for _, disk := range d.Disks {
		for _, p := range disk.Partitions {
			if p.ID == id {
				return p, disk.ID, true
			}
		}
	}
	return Partition{}, "", false
}

// raid is the array with an ID.
func (d Document) raid(id string) (Raid, bool) {
	for _, r := range d.Raids {
		if r.ID == id {
			return r, true
		}
	}
	return Raid{}, false
}

// volumes says for people what the arrays and volume groups are to be.
func (d Document) volumes(w io.Writer) {
	for _, r := range d.Raids {
		fmt.Fprintf(w, "raid %s: level %d, on %s", r.ID, r.Level, strings.Join(r.Devices, " and "))
		if r.Use == LVM {
			fmt.Fprintln(w, ", for a volume group")
			continue
		}
		fmt.Fprintf(w, ", %s\n", r.Content.sentence(r.ID))
	}
	for _, g := range d.Groups {
		fmt.Fprintf(w, "lvm_volgroup %s: on %s\n", g.ID, strings.Join(g.Devices, " and "))
		for _, l := range g.Volumes {
			fmt.Fprintf(w, "  %s, %s, %s\n", l.ID, l.Size, l.Content.sentence(l.ID))
		}
	}
}

// sentence says what is made in a volume.
func (c Content) sentence(id string) string {
	made := c.Partition(id).Made()
	text := pairs(made.Filesystem, made.Label)
	if made.Mount != "" {
		text += ", at " + made.Mount
	}
	return text
}
