package layout

import "griddle/appliance/job"

// Match says which disk of a machine is meant.
type Match = job.Match

// The sizes that compare the disks of a machine with one another.
const (
	Largest  = job.Largest
	Smallest = job.Smallest
)

// Among returns the partitions that are meant.
func (w Which) Among(parts []job.Partition) (out []job.Partition) {
	for _, p := range parts {
		if (w.Number == 0 || w.Number == p.Number) && job.Fits(w.Name, p.Name) && job.Fits(w.Label, p.Label) &&
			(w.Filesystem == "" || w.Filesystem == p.Filesystem) {
			out = append(out, p)
		}
	}
	return out
}
