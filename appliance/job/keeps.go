package job

import "slices"

// Keeps says whether an install adds a root to the pool that the disk has, so that /home, /persistent and the systems
// that it has stay: another job finished the pool, this one does not erase it, and the partition table is whole.
func (s Spec) Keeps(d Disk) bool { return s.FindsPool(d) && d.Damaged == "" }

// FindsPool says whether the disk has a pool that another job finished and that this one does not erase.
func (s Spec) FindsPool(d Disk) bool {
	if d.Installed == "" || d.Installed == s.ID || s.Erase != "" {
		return false
	}
	return slices.ContainsFunc(d.Partitions, d.HasPool)
}
