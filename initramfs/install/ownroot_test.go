package install

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"griddle/appliance/job"
	"griddle/initramfs/bootloader/grubtest"
	"griddle/initramfs/disk/disktest"
	"griddle/initramfs/nvram"
	"griddle/initramfs/pool"

	"golang.org/x/sys/unix"
)

// ownRoots is a layout whose roots are partitions.
const ownRoots = `version: 1
disks:
  - id: main
    match: {serial: D1}
    wipe: true
    table: gpt
    partitions:
      - {id: bios, use: bios}
      - {id: esp, use: esp}
      - {id: root-a, use: root, size: 900M, filesystem: xfs}
      - {id: root-b, use: root, size: 900M}
      - {id: shared, use: persistent, size: 200M}
`

// An install into the first of two roots that are partitions, and then another one, which keeps what they share and
// goes into the second root.
func TestLayoutRoots(t *testing.T) {
	o := options(t)
	o.MountESP = sharedESP(t)
	vars := t.TempDir()
	o.Firmware = func() (*nvram.Vars, error) { return nvram.In(vars), nil }
	o.BIOS = true
	dev, other := disktest.Loop(t, 2560<<20, 512), disktest.Loop(t, 64<<20, 512)
	write(t, other, 12345, "photographs")
	beside := sum(t, other)
	k, j := &keeper{fail: 9}, &journal{}
	s, disks := divideJob(t, &o, k, ownRoots, dev, other)
	if err := Run(t.Context(), s, debian(t), disks, j, o); !errors.Is(err, errServer) {
		t.Fatalf("Run without the server = %v", err)
	}
	_, disks = divideJob(t, &o, k, ownRoots, dev, other)
	if err := Run(t.Context(), s, debian(t), disks, j, o); err != nil || j.last().State != job.Done {
		t.Fatalf("Run = %v, last event %+v", err, j.last())
	}
	if sum(t, other) != beside {
		t.Error("the other disk has changed")
	}
	if out := disktest.Tool(t, "sgdisk", "-v", dev); !strings.Contains(out, "No problems found") {
		t.Errorf("sgdisk -v: %s", out)
	}
	if d := found(t, dev, "D1"); d.Installed != s.ID || d.Unfinished != "" || !d.HasPool(d.Partitions[4]) {
		t.Errorf("the disk is marked %q installed: %+v", d.Installed, d)
	}
	whole := written(t, dev)
	_, disks = divideJob(t, &o, k, ownRoots, dev, other)
	if err := Run(t.Context(), s, debian(t), disks, j, o); err != nil || j.last().State != job.Done ||
		written(t, dev) != whole {
		t.Errorf("Run once more = %v, last event %+v; want done, and nothing written", err, j.last())
	}
	disktest.Tool(t, "xfs_repair", "-n", dev+"p3")
	disktest.Tool(t, "e2fsck", "-fn", dev+"p5")
	checkOwn(t, dev, 3, "xfs noatime 0 0")
	starts(t, dev, 3, false)
	if t.Failed() {
		return
	}

	// A person works there, and the machine is installed again.
	top := t.TempDir()
	disktest.Tool(t, "mount", dev+"p5", top)
	put(t, top, map[string]string{"@home/alice/thesis": "hers", "@persistent/kept": "mine"})
	disktest.Tool(t, "umount", top)
	again := spec(dev)
	again.ID = "6c2f0a4e-7a1c-4d3e-9f00-0123456789ab"
	o.Journal, o.Look = nil, nil
	esp := t.TempDir() // there need not be a FAT in the kernel of the test
	back, err := sharedESP(t)(dev+"p2", esp)
	if err != nil {
		t.Fatal(err)
	}
	o.Place = func(path string) (pool.Place, error) {
		p, err := pool.On(path)
		p.ESP = esp
		return p, err
	}
	j = &journal{}
	if err := Run(t.Context(), again, debian(t), []job.Disk{found(t, dev, "D1")}, j, o); err != nil {
		t.Fatal(err)
	}
	if err := back(); err != nil {
		t.Fatal(err)
	}
	if d := found(t, dev, "D1"); d.Installed != again.ID {
		t.Errorf("the disk is marked %q installed", d.Installed)
	}
	disktest.Tool(t, "e2fsck", "-fn", dev+"p4")
	disktest.Tool(t, "e2fsck", "-fn", dev+"p5")
	checkOwn(t, dev, 4, "ext4 noatime,errors=remount-ro 0 1")
	disktest.Tool(t, "mount", "-o", "ro", dev+"p5", top)
	defer disktest.Tool(t, "umount", top)
	for name, want := range map[string]string{"@home/alice/thesis": "hers", "@home/alice/notes": "hers",
		"@persistent/kept": "mine"} {
		if got, err := os.ReadFile(filepath.Join(top, name)); err != nil || string(got) != want {
			t.Errorf("%s = %q, %v", name, got, err)
		}
	}
	starts(t, dev, 4, true)
	starts(t, dev, 3, false) // it did not prove itself
}

// written is how many sectors were written to a disk (Documentation/admin-guide/iostats.rst, field 7).
func written(t *testing.T, dev string) string {
	t.Helper()
	disktest.Tool(t, "blockdev", "--flushbufs", dev)
	b, err := os.ReadFile("/sys/block/" + filepath.Base(dev) + "/stat")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(b))[6]
}

// checkOwn looks at the root in a partition, and at what it mounts.
func checkOwn(t *testing.T, dev string, number int, line string) {
	t.Helper()
	dir := t.TempDir()
	disktest.Tool(t, "mount", "-o", "ro", fmt.Sprintf("%sp%d", dev, number), dir)
	defer disktest.Tool(t, "umount", dir)
	b, err := os.ReadFile(filepath.Join(dir, "etc/fstab"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"UUID=" + uuidOf(t, dev, number) + " / " + line,
		"UUID=" + uuidOf(t, dev, 5) + " /.griddle ext4 ", "/.griddle/@home /home none bind ",
		"/.griddle/@persistent /persistent none bind ", "tmpfs /tmp tmpfs"} {
		if !strings.Contains(string(b), want) {
			t.Errorf("fstab lacks %q:\n%s", want, b)
		}
	}
	if strings.Contains(string(b), "btrfs") {
		t.Errorf("fstab has a btrfs:\n%s", b)
	}
	for name, empty := range map[string]bool{"home": true, "persistent": true, ".griddle": true, "usr": false,
		"usr/lib/griddle/of-image/etc": false} {
		entries, err := os.ReadDir(filepath.Join(dir, name))
		if err != nil || (len(entries) == 0) != empty {
			t.Errorf("/%s has %d entries, %v", name, len(entries), err)
		}
	}
	if b, err := os.ReadFile(filepath.Join(dir, "usr/lib/griddle/image")); err != nil ||
		string(b) != "web:20261120.2@amd64\n" {
		t.Errorf("the image of the root is %q, %v", b, err)
	}
	if _, err := os.Lstat(filepath.Join(dir, "lost+found")); err == nil {
		t.Error("the root has a folder that its image has not")
	}
}

func uuidOf(t *testing.T, dev string, number int) string {
	t.Helper()
	return strings.TrimSpace(disktest.Tool(t, "blkid", "-p", "-o", "value", "-s", "UUID", fmt.Sprintf("%sp%d", dev,
		number)))
}

// starts has GRUB start the disk: it must take the root in this partition.
func starts(t *testing.T, dev string, number int, try bool) {
	t.Helper()
	disktest.Tool(t, "blockdev", "--flushbufs", dev)
	got := grubtest.Machine{ESP: "hd0,gpt2"}.Start(t, dev)
	if !slices.Contains(got.Args, "root=UUID="+uuidOf(t, dev, number)) || got.Try() != try ||
		!slices.Contains(got.Args, "net.ifnames=0") || !strings.HasSuffix(got.Initrd, "initrd.img") {
		t.Errorf("GRUB starts %q with %q, want partition %d, on trial %v:\n%s", got.Kernel, got.Args, number, try,
			got.Screen)
	}
	disktest.Tool(t, "blockdev", "--flushbufs", dev)
	disktest.Tool(t, "partx", "-u", dev)
}

// What a layout with roots cannot have is refused before anything is written.
func TestLayoutRootsRefused(t *testing.T) {
	img, o := small(t, map[string]string{"boot/initrd.img-1": "an initrd"}), options(t)
	bare := small(t, nil)
	dev := disktest.Loop(t, 2560<<20, 512)
	before := written(t, dev)
	for want, change := range map[string]func(*job.Spec, *Options){
		"needs a pool: leave out --reset": func(s *job.Spec, _ *Options) { s.Reset = job.ResetSystem },
		"add a partition with use: swap": func(_ *job.Spec, o *Options) {
			o.Settings = given(t, `{"swap": "64MiB"}`)
		},
		"it has no initrd": func(*job.Spec, *Options) {},
	} {
		o, j := o, &journal{}
		s, disks := divideJob(t, &o, &keeper{}, ownRoots, dev)
		change(&s, &o)
		img := img
		if strings.Contains(want, "initrd") {
			img = bare
		}
		if err := Run(t.Context(), s, img, disks, j, o); !errors.Is(err, ErrRefused) ||
			!strings.Contains(err.Error(), want) || len(j.started) > 0 {
			t.Errorf("Run = %v, want an error with %q", err, want)
		}
	}
	if written(t, dev) != before {
		t.Error("the disk was written to")
	}
	_, err := pool.On(dev)
	if !errors.Is(err, pool.ErrNone) || errors.Is(err, unix.EIO) {
		t.Errorf("pool.On = %v", err)
	}
}
