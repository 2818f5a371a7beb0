package way

import (
	"strings"
	"testing"

	"griddle/appliance/job"
	"griddle/appliance/layout/plan"
)

// need is what the image of the tests needs.
const need = 2 * gib

// windows is a disk as Windows 11 divides it, with its free space in the filesystem.
func windows() job.Disk {
	return job.Disk{Path: "/dev/nvme0n1", Serial: "S1", Model: "Samsung", Bus: "nvme", Size: 512 * gib, SectorSize: 512,
		Table: "gpt", TableID: "11111111-2222-3333-4444-555555555555", Partitions: []job.Partition{
			{Number: 1, Start: mib, Size: 100 * mib, Type: "EFI system", Filesystem: "vfat", UUID: "AAAA-0001",
				Used: 40 * mib},
			{Number: 2, Start: 101 * mib, Size: 16 * mib, Type: "Microsoft reserved"},
			{Number: 3, Start: 117 * mib, Size: 511*gib + 100*mib, Type: "Microsoft basic data", Filesystem: "ntfs",
				Label: "Windows", UUID: "01D9", Used: 90 * gib, Minimum: 100 * gib},
			{Number: 4, Start: 511*gib + 217*mib, Size: 700 * mib, Type: "Windows recovery", Filesystem: "ntfs",
				UUID: "02D9", Used: 500 * mib, Minimum: 500 * mib},
		}}
}

// with is windows with a change.
func with(change func(d *job.Disk)) job.Disk {
	d := windows()
	change(&d)
	return d
}

func blank() job.Disk {
	return job.Disk{Path: "/dev/vda", Serial: "V1", Size: 20 * gib, SectorSize: 512, Sampled: job.Zeros}
}

// pooled is a disk with a pool of an earlier install.
func pooled() job.Disk {
	return job.Disk{Path: "/dev/vdb", Serial: "V2", Size: 40 * gib, SectorSize: 512, Table: "gpt", Installed: "j1",
		Partitions: []job.Partition{
			{Number: 1, Start: mib, Size: mib, Type: "BIOS boot"},
			{Number: 2, Start: 2 * mib, Size: 260 * mib, Type: "EFI system", Filesystem: "vfat"},
			{Number: 3, Start: 262 * mib, Size: 30 * gib, Type: "Linux filesystem", Name: "griddle-pool",
				Filesystem: "btrfs", Label: "griddle", Used: gib, Minimum: 2 * gib}}}
}

// row is the row of the page whose name begins with name.
func row(t *testing.T, m Model, name string) int {
	t.Helper()
	for i, o := range m.now().options {
		if strings.HasPrefix(o.name, name) {
			return i
		}
	}
	t.Fatalf("there is no row %q in %q", name, m.now().title)
	return 0
}

// pick picks rows by their names, one after the other, until something is decided.
func pick(t *testing.T, m Model, names ...string) Model {
	t.Helper()
	for i, name := range names {
		next, decided, refused := m.Pick(row(t, m, name))
		if refused != "" || decided != (i == len(names)-1) {
			t.Fatalf("Pick(%q) = decided %v, refused %q", name, decided, refused)
		}
		m = next
	}
	return m
}

// tomorrow says what becomes of the partitions.
func tomorrow(m Model) string {
	_, p := m.Decision()
	var out []string
	for _, q := range p.Disks[0].Before {
		if q.Fate == plan.Lost || q.Fate == plan.Emptied {
			out = append(out, "LOST "+q.Holds())
		}
	}
	for _, q := range p.Disks[0].After {
		out = append(out, string(q.Fate)+" "+q.Holds())
	}
	return strings.Join(out, ", ")
}
