package divide

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"griddle/appliance/job"
	"griddle/appliance/layout"
	"griddle/appliance/layout/plan"
	"griddle/initramfs/disk/disktest"
	"griddle/initramfs/umltest/fattest"
)

// raidAndLVM are the modules that volumes need.
var raidAndLVM = []string{"drivers/md/md-mod", "drivers/md/raid1", "drivers/md/dm-mod"}

// ubd is the device file of disk number i inside.
func ubd(i int) string { return fmt.Sprintf("/dev/ubd%c", 'a'+i) }

// onVolumes is a layout of two disks with an array, and a volume group on an array and on a partition.
func onVolumes() layout.Document {
	part := func(id, use string, n int64) layout.Partition {
		return layout.Partition{ID: id, Use: use, Size: size(n)}
	}
	return layout.Document{Version: 1, Disks: []layout.Disk{
		{ID: "a", Match: job.Match{Serial: "S1"}, Partitions: []layout.Partition{esp, part("pool", layout.Pool,
			200*mib),
			part("home-a", layout.RAID, 24*mib), part("md-a", layout.RAID, 32*mib)}},
		{ID: "b", Match: job.Match{Serial: "S2"}, Partitions: []layout.Partition{part("home-b", layout.RAID, 25*mib),
			part("md-b", layout.RAID, 32*mib), part("pv", layout.LVM, 30*mib)}},
	}, Raids: []layout.Raid{
		{ID: "home", Level: 1, Devices: []string{"home-a", "home-b"}, Content: layout.Content{Use: layout.Home}},
		{ID: "md", Level: 1, Devices: []string{"md-a", "md-b"}, Content: layout.Content{Use: layout.LVM}},
	}, Groups: []layout.Group{{ID: "vg-0", Devices: []string{"md", "pv"}, Volumes: []layout.Logical{
		{ID: "the-data", Size: size(32 * mib), Content: layout.Content{Use: layout.Data, Mount: "/srv"}},
		{ID: "swap", Size: rest, Content: layout.Content{Use: layout.Swap}},
	}}}}
}

// inside is a machine in a kernel with arrays and LVM: two disks full of what looks like filesystems, and one of
// someone else. It is nil outside, where the test is done.
func inside(t *testing.T) *machine {
	t.Helper()
	var images []string
	if !fattest.Inside() {
		for i, size := range []int64{540 * mib, 140 * mib, 80 * mib} {
			file := filepath.Join(t.TempDir(), fmt.Sprint("disk", i))
			if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Truncate(file, size)); err != nil {
				t.Fatal(err)
			}
			if i < 2 { // what an earlier array or volume had in its place
				for at := int64(5 * mib); at < size-20*mib; at += 4 * mib {
					disktest.Tool(t, "mkfs.ext4", "-q", "-F", "-E", fmt.Sprintf("offset=%d", at), file, "1M")
				}
			}
			images = append(images, file)
		}
	}
	if fattest.Run(t, "/", images...) {
		return nil
	}
	fattest.Load(t, raidAndLVM...)
	m := &machine{t: t, disks: map[string]string{}}
	for i := range 3 {
		m.disks[fmt.Sprint("S", i+1)] = ubd(i)
	}
	// Blank disks would be cleared of what is on them.
	for i := range 2 {
		cmd := exec.Command("sfdisk", "--quiet", "--no-reread", ubd(i))
		cmd.Stdin = strings.NewReader("label: gpt\n")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("sfdisk: %v: %s", err, out)
		}
	}
	return m
}

// TestVolumes ends a run again and again, and continues it, as after a power cut: before and after the last entry of a
// step. Then the volumes are what was planned, as other programs say; and no byte of another disk has changed.
func TestVolumes(t *testing.T) {
	m := inside(t)
	if m == nil {
		return
	}
	foreign := m.disks["S3"]
	disktest.Tool(t, "lvm", "pvcreate", "-qq", "--config", quietly, foreign)
	disktest.Tool(t, "lvm", "vgcreate", "-qq", "--config", quietly, "other", foreign)
	disktest.Tool(t, "lvm", "lvcreate", "-qq", "--config", quietly, "-an", "-Zn", "-Wn", "-n", "the-data", "-L", "32M",
		"other")
	before := bytesOn(t, foreign)
	p := m.plan(onVolumes())
	making := slices.IndexFunc(p.Steps, func(s plan.Step) bool { return s.Do == plan.MakeVolume })
	b := &book{keep: true}
	var made Made
	for runs := 0; ; runs++ {
		// A run records first that a step has begun. It ends when the step is done but for the last entry, or after
		// that.
		b.fail = max(len(b.lines)+2+runs%2, 2*making+1) // other tests interrupt the steps of partitions
		var err error
		if made, err = m.run(p, b); err == nil {
			t.Logf("%d runs", runs)
			break
		}
		if !errors.Is(err, errBook) {
			t.Fatalf("after %d runs: %v", runs, err)
		}
		nothingRuns(t)
	}
	m.volumesAsPlanned(p, made)
	if err := made.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	nothingRuns(t)
	if bytesOn(t, foreign) != before {
		t.Error("the disk of someone else has changed")
	}
	// What is done is started again, and nothing of it is made again.
	b.fail = 0
	again, err := m.run(p, b)
	if err != nil {
		t.Fatal(err)
	}
	for i, place := range again.Parts {
		if place.UUID != made.Parts[i].UUID {
			t.Errorf("%+v was made again: its UUID was %s", place, made.Parts[i].UUID)
		}
	}
}

// bytesOn is a hash of all bytes of a device.
func bytesOn(t *testing.T, dev string) uint64 {
	t.Helper()
	size, err := bytesOf(dev)
	if err != nil {
		t.Fatal(err)
	}
	return sums(t, dev, plan.Part{Size: size})[0]
}

// quietly has lvm touch nothing but its devices.
const quietly = "devices { use_devicesfile=0 } activation { udev_sync=0 udev_rules=0 } backup { backup=0 archive=0 }"

// nothingRuns fails if an array or a volume of LVM is started.
func nothingRuns(t *testing.T) {
	t.Helper()
	b, err := os.ReadFile("/proc/mdstat")
	dm, _ := filepath.Glob("/sys/class/block/dm-*")
	if err != nil || strings.Contains(string(b), "active") || len(dm) > 0 {
		t.Errorf("these still run: %v, %s, %v", dm, b, err)
	}
}

// volumesAsPlanned asks other programs what the volumes are.
func (m *machine) volumesAsPlanned(p plan.Plan, made Made) {
	m.t.Helper()
	nodes := map[string]string{"home": "/dev/md/home", "the-data": "/dev/vg-0/the-data", "swap": "/dev/vg-0/swap"}
	for _, v := range p.Volumes {
		node := nodes[v.ID]
		if v.Kind == plan.Raid1 {
			out := disktest.Tool(m.t, "mdadm", "--detail", "/dev/md/"+v.ID)
			for _, want := range []string{"Raid Level : raid1", fmt.Sprintf("Array Size : %d ", v.Size>>10),
				"Active Devices : 2", "Intent Bitmap : Internal", "any:" + v.ID} {
				if !strings.Contains(out, want) {
					m.t.Errorf("mdadm does not say %q:\n%s", want, out)
				}
			}
		}
		if v.Filesystem == "" {
			continue
		}
		at := slices.IndexFunc(made.Parts, func(p Place) bool { return p.Node == node })
		if at < 0 {
			m.t.Errorf("Run made no %s: %+v", node, made.Parts)
			continue
		}
		got := disktest.Tool(m.t, "blkid", "-p", "-s", "TYPE", "-s", "LABEL", "-s", "UUID", "-o", "value", node)
		if want := v.Label + "\n" + made.Parts[at].UUID + "\n" + v.Filesystem + "\n"; got != want {
			m.t.Errorf("blkid says of %s %q, want %q", node, got, want)
		}
		if v.Filesystem == "ext4" {
			disktest.Tool(m.t, "e2fsck", "-fn", node)
		}
		if got := strings.TrimSpace(disktest.Tool(m.t, "blockdev", "--getsize64", node)); got != fmt.Sprint(v.Size) {
			m.t.Errorf("%s has %s bytes, want %d", node, got, v.Size)
		}
		if place := made.Parts[at]; !place.Fresh || place.Part.Use != v.Use || place.Part.Mount != v.Mount {
			m.t.Errorf("Run = %+v, want the place of %+v", place, v)
		}
	}
	out := disktest.Tool(m.t, "lvm", "vgs", "--config", quietly, "--noheadings", "-o", "vg_free", "vg-0")
	if strings.TrimSpace(out) != "0" {
		m.t.Errorf("%s of the volume group are free, want nothing", strings.TrimSpace(out))
	}
}
