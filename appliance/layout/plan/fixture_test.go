package plan

import (
	"strings"
	"testing"

	"griddle/appliance/job"
	"griddle/appliance/layout"
)

const (
	gib   = 1 << 30
	jobID = "5b2f0a4e-7a1c-4d3e-9f00-0123456789ab"
)

// windows is a disk as Windows 11 divides it.
func windows() job.Disk {
	return job.Disk{Path: "/dev/nvme0n1", Serial: "S1", Model: "Samsung", Bus: "nvme", Size: 512 * gib, SectorSize: 512,
		Table: "gpt", TableID: "11111111-2222-3333-4444-555555555555", Partitions: []job.Partition{
			{Number: 1, Start: mib, Size: 100 * mib, Type: "EFI system", Filesystem: "vfat", UUID: "AAAA-0001",
				Used: 40 * mib},
			{Number: 2, Start: 101 * mib, Size: 16 * mib, Type: "Microsoft reserved"},
			{Number: 3, Start: 117 * mib, Size: 510 * gib, Type: "Microsoft basic data", Name: "Basic data partition",
				Filesystem: "ntfs", Label: "Windows", UUID: "01D9", Used: 90 * gib, Minimum: 80 * gib},
			{Number: 4, Start: 510*gib + 117*mib, Size: 700 * mib, Type: "Windows recovery", Filesystem: "ntfs",
				UUID: "02D9", Used: 500 * mib, Minimum: 500 * mib},
		}}
}

// blank is a disk that is proved to be blank.
func blank(size int64, sector int) job.Disk {
	return job.Disk{Path: "/dev/vda", Serial: "V1", Bus: "virtio", Size: size, SectorSize: sector, Sampled: job.Zeros}
}

// of is a layout of one disk, the largest.
func of(parts ...layout.Partition) layout.Document {
	return layout.Document{Version: 1, Disks: []layout.Disk{{ID: "main", Match: job.Match{Size: job.Largest},
		Partitions: parts}}}
}

func form(f layout.Form) layout.Document {
	f.Version, f.Match = 1, job.Match{Size: job.Largest}
	return f.Document()
}

func size(n int64) layout.Size { return layout.Size{Bytes: n} }

var (
	rest = layout.Size{Rest: true}
	esp  = layout.Partition{ID: "esp", Use: layout.ESP}
	pool = layout.Partition{ID: "pool", Use: layout.Pool, Size: rest}
)

// fates is the disk of tomorrow on one line: number, size in MiB, what it is and what becomes of it.
func fates(d Disk) string {
	var out []string
	for _, p := range d.After {
		out = append(out, p.what()+" "+string(p.Fate))
	}
	return strings.Join(out, ", ")
}

// planned makes a plan that must not be refused.
func planned(t *testing.T, doc layout.Document, disks ...job.Disk) Plan {
	t.Helper()
	p, err := Make(Input{Layout: doc, Disks: disks})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// refused wants a refusal that has want in it.
func refused(t *testing.T, name string, doc layout.Document, want string, disks ...job.Disk) {
	t.Helper()
	p, err := Make(Input{Layout: doc, Disks: disks})
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%s: Make = %s, %v\nwant a refusal with %q", name, p.Text(80), err, want)
	}
}
