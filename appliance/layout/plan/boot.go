package plan

import "griddle/appliance/layout"

// bootPartition notes what is not encrypted beside an encrypted pool, and that no agent installs one yet.
func (t *target) bootPartition() {
	for _, p := range t.parts {
		if p.entry == nil || p.entry.Use != layout.Boot {
			continue
		}
		t.note("partition %d has kernel and initrd of each system, and is not encrypted", p.Number)
		if (layout.Document{Disks: []layout.Disk{t.want}}).CheckInstall() != nil {
			t.note("its pool is encrypted, and such a pool is not installed yet")
		}
	}
}
