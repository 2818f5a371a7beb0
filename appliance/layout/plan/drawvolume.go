package plan

import (
	"fmt"
	"strings"

	"griddle/appliance/job"
)

// volumeRows lists the volumes for people.
func (p Plan) volumeRows() (out []string) {
	for _, v := range p.Volumes {
		out = append(out, fmt.Sprintf("  %-10s %10s  %-33s  %s", job.Printable(v.ID), job.Bytes(v.Size), v.Holds(),
			Made),
			fmt.Sprintf("%25s%s on %s", "", v.Kind.name(), p.members(v)))
	}
	return out
}

// Holds is what the volume holds and where the system has it, for people.
func (v Volume) Holds() string {
	switch {
	case v.Filesystem != "":
		return Part{Filesystem: v.Filesystem, Label: v.Label, Mount: v.Mount}.Holds()
	case v.Kind == Group:
		return "logical volumes"
	}
	return "a part of a volume group"
}

// members are what a volume is made of, in words.
func (p Plan) members(v Volume) string {
	var on []string
	for _, m := range v.On {
		if m.Volume != "" {
			on = append(on, job.Printable(m.Volume))
			continue
		}
		on = append(on, fmt.Sprintf("partition %d of disk %s", m.Number, m.Disk))
	}
	return strings.Join(on, " and ")
}

// name is the kind in words.
func (k Kind) name() string {
	switch k {
	case Raid1:
		return "RAID 1"
	case Group:
		return "volume group"
	case Logical:
		return "logical volume"
	}
	return job.Printable(string(k))
}
