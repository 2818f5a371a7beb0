package main

import (
	"testing"

	"griddle/appliance/job"
)

// TestLeavesSystem: a machine whose only system was erased does not restart by itself.
func TestLeavesSystem(t *testing.T) {
	system := job.Disk{Path: "/dev/sda", Serial: "A", Installed: "j"}
	data := job.Disk{Path: "/dev/sdb", Serial: "B"}
	for name, c := range map[string]struct {
		spec job.Spec
		want bool
	}{
		"the system's disk": {job.Spec{Kind: job.Erase, Erase: "A"}, false},
		"another disk":      {job.Spec{Kind: job.Erase, Erase: "B"}, true},
		"an install":        {job.Spec{Kind: job.Install}, true},
	} {
		if got := leavesSystem(c.spec, []job.Disk{system, data}); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	if leavesSystem(job.Spec{Kind: job.Erase, Erase: "B"}, []job.Disk{data}) {
		t.Error("a machine without a system has one")
	}
}
