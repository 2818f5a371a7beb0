package main

import (
	"encoding/json"
	"errors"
	"testing"

	"griddle/appliance/job"
	"griddle/appliance/layout"
	"griddle/appliance/layout/plan"
)

func TestSameDisk(t *testing.T) {
	a := job.Disk{Path: "/dev/sda", Serial: "A", Size: 10}
	b := job.Disk{Path: "/dev/sdb", Serial: "B", Size: 10}
	moved := func(d job.Disk, path string) job.Disk { d.Path = path; return d }
	filled := a
	filled.Signature = "ext4"
	shown := []job.Disk{a, b}
	for _, c := range []struct {
		name string
		rule job.DiskRule
		now  []job.Disk
		want error
	}{
		{"as shown", "path:/dev/sda", shown, nil},
		{"another disk has come", "path:/dev/sda", []job.Disk{a, b, {Path: "/dev/sdc", Size: 1}}, nil},
		{"another disk has the name", "path:/dev/sda", []job.Disk{moved(b, "/dev/sda")}, errChanged},
		{"it holds something by now", "serial:A", []job.Disk{filled, b}, errChanged},
		{"it has another name", "serial:A", []job.Disk{moved(a, "/dev/sdc"), b}, errChanged},
		{"it is gone", "path:/dev/sda", []job.Disk{b}, job.ErrRule},
	} {
		if err := sameDisk(c.rule, shown, c.now); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

// TestSamePlan: a choice with a layout holds while its plan is the same, whatever the disk is called by now.
func TestSamePlan(t *testing.T) {
	const mib = 1 << 20
	disk := job.Disk{Path: "/dev/sda", Serial: "A", Size: 64 << 30, SectorSize: 512, Table: "gpt",
		Partitions: []job.Partition{{Number: 1, Start: mib, Size: 300 * mib, Type: "EFI system", Filesystem: "vfat"}}}
	doc := layout.Form{Version: 1, Layout: layout.FreeSpace, Match: job.Match{Serial: "A"}}.Document()
	p, err := plan.Make(plan.Input{Layout: doc, Disks: []job.Disk{disk}})
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	change := func(f func(d *job.Disk)) []job.Disk {
		d := disk
		d.Partitions = append([]job.Partition(nil), d.Partitions...)
		f(&d)
		return []job.Disk{d}
	}
	for _, c := range []struct {
		name string
		now  []job.Disk
		want error
	}{
		{"as shown", []job.Disk{disk}, nil},
		{"under another name, beside another disk", append(change(func(d *job.Disk) { d.Path = "/dev/sdb" }),
			job.Disk{Path: "/dev/sda", Serial: "B", Size: 10, SectorSize: 512}), nil},
		{"fuller", change(func(d *job.Disk) { d.Partitions[0].Used = mib }), nil},
		{"with another partition", change(func(d *job.Disk) {
			d.Partitions = append(d.Partitions, job.Partition{Number: 2, Start: 400 * mib, Size: mib})
		}), errChanged},
		{"with another label", change(func(d *job.Disk) { d.Partitions[0].Label = "NEW" }), errChanged},
		{"another disk", change(func(d *job.Disk) { d.Serial = "B" }), errChanged},
		{"damaged", change(func(d *job.Disk) { d.Damaged = "only its backup copy is left" }), errChanged},
	} {
		if err := samePlan(job.Choice{Layout: b, Plan: p.Hash}, c.now); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	if err := samePlan(job.Choice{Layout: []byte("{"), Plan: p.Hash}, []job.Disk{disk}); err == nil {
		t.Error("a layout that is not JSON is taken")
	}
}
