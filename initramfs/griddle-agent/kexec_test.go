package main

import (
	"testing"

	"griddle/appliance/job"
	"griddle/initramfs/pool"
)

// TestMadeBy: after a job the machine starts the system of that job, also where other disks have pools.
func TestMadeBy(t *testing.T) {
	all := []pool.Place{{Job: "old", Disk: "/dev/vda"}, {Job: "new", Disk: "/dev/vdb"}}
	for _, c := range []struct {
		spec job.Spec
		want string
	}{
		{job.Spec{Kind: job.Install, ID: "new"}, "/dev/vdb"},
		{job.Spec{Kind: job.Update, ID: "new", Pool: "old"}, "/dev/vda"},
		{job.Spec{Kind: job.Install, ID: "other"}, ""},
		{job.Spec{Kind: job.Update, ID: "new"}, ""},
	} {
		if p, err := poolOf(madeBy(c.spec), all); p.Disk != c.want || (err == nil) != (c.want != "") {
			t.Errorf("after %+v the machine starts %q, %v, want %q", c.spec, p.Disk, err, c.want)
		}
	}
}
