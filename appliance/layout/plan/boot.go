package plan

import "griddle/appliance/layout"

// bootPartition notes what is not encrypted beside an encrypted pool.
func (t *target) bootPartition() {
	for _, p := range t.parts {
		if p.entry != nil && p.entry.Use == layout.Boot {
			t.note("partition %d has kernel and initrd of each system, and is not encrypted", p.Number)
		}
	}
}
