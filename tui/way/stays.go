package way

import (
	"encoding/json"
	"slices"

	"griddle/appliance/job"
	"griddle/appliance/layout"
	"griddle/appliance/layout/plan"
)

// Stays is what a layout leaves of the disks that it divides.
type Stays struct {
	Pool bool // a pool, which gets the new system
	More bool // other partitions, or it is not known whether there are any
	Lost bool // something is lost
}

// StaysOf is what a layout, as JSON, leaves of disks. It is not known exactly if there is no plan, for example because
// an earlier start of the job has begun to carry it out.
func StaysOf(doc json.RawMessage, disks []job.Disk) Stays {
	d, err := layout.Decode(doc)
	if err != nil {
		return Stays{More: true}
	}
	s := Stays{More: true, Pool: slices.ContainsFunc(d.Disks, func(disk layout.Disk) bool {
		return slices.ContainsFunc(disk.Partitions, func(p layout.Partition) bool {
			return p.Use == layout.Pool && p.Keep
		})
	})}
	p, err := plan.Make(plan.Input{Layout: d, Disks: disks})
	if err != nil {
		return s
	}
	s.Lost, s.More = len(p.Losses) > 0, false
	for _, disk := range p.Disks {
		for _, part := range disk.After {
			s.More = s.More || part.Use != layout.Pool && (part.Fate == plan.Stays || part.Fate == plan.Shrunk)
		}
	}
	return s
}
