package install

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"griddle/appliance/job"
	"griddle/initramfs/bootloader"
	"griddle/initramfs/bootloader/bootenv"
	"griddle/initramfs/disk"
	"griddle/initramfs/disk/disktest"
	"griddle/initramfs/pool"
	"griddle/initramfs/pool/intake/intaketest"
)

// A second install adds a root to the pool that the disk has: it receives what the pool lacks, and what people have
// there stays. Stopped anywhere, it begins again. With --erase all is new.
func TestKeep(t *testing.T) {
	first := publishAll(t)
	o := options(t)
	dev := disktest.Loop(t, 1<<30, 512)
	esp := filepath.Join(t.TempDir(), "esp")
	o.MountESP = func(_, dir string) (func() error, error) {
		return func() error { return os.Rename(dir, esp) }, nil
	}
	if err := Run(t.Context(), spec(dev), first[0], []job.Disk{found(t, dev, "D1")}, &journal{}, o); err != nil {
		t.Fatal(err)
	}
	node, err := disk.Node(dev, "/sys", 2)
	if err != nil {
		t.Fatal(err)
	}
	pooled := func(look func(top string)) {
		node, err := disk.Node(dev, "/sys", 3)
		if err != nil {
			t.Fatal(err)
		}
		top := t.TempDir()
		disktest.Tool(t, "mount", "-o", "subvolid=5", node, top)
		defer disktest.Tool(t, "umount", top)
		look(top)
	}
	var id string
	const oldRoot, newRoot = "@roots/web-20261120.1@amd64", "@roots/web-20261120.2@amd64"
	pooled(func(top string) {
		put(t, top, map[string]string{"@home/ada/thesis": "two years", "@persistent/lab": "kept"})
		b, err := os.ReadFile(filepath.Join(top, oldRoot, "etc/machine-id"))
		if err != nil {
			t.Fatal(err)
		}
		id = string(b)
	})

	again := spec(dev)
	again.ID = "0" + jobID[1:]
	again.Hostname, again.Args = "lab-7", []string{"quiet"}
	foreign := again
	foreign.Pools = []string{"1" + jobID[1:]}
	j := &journal{}
	if err := Run(t.Context(), foreign, first[1], []job.Disk{found(t, dev, "D1")}, j, o); !errors.Is(err, ErrRefused) ||
		!strings.Contains(j.last().Message, "the server knows that of job "+foreign.Pools[0]) {
		t.Errorf("Run with the pool of another machine = %v, last event %+v", err, j.last())
	}
	again.Pools = []string{jobID}
	o.Place = func(path string) (pool.Place, error) {
		p, err := pool.On(path)
		p.ESP = esp
		return p, err
	}
	var have []string
	o.Plan = func(_ context.Context, h []string) (Image, error) { have = h; return first[1].From(1), nil }
	for _, phase := range []job.Phase{job.PhaseReceive, job.PhaseBootable} {
		ctx, cancel := context.WithCancel(t.Context())
		j := &journal{on: func(e job.Event) {
			if e.Phase == phase {
				cancel()
			}
		}}
		if err := Run(ctx, again, first[1], []job.Disk{found(t, dev, "D1")}, j, o); err == nil ||
			!strings.Contains(j.last().Message, "what was on the disk is still there") {
			t.Errorf("Run stopped in %s = %v, last event %+v", phase, err, j.last())
		}
		cancel()
		if e, err := bootenv.Read(esp); err != nil || e != (bootenv.Env{Good: filepath.Base(oldRoot)}) {
			t.Errorf("stopped in %s grubenv is %+v, %v", phase, e, err)
		}
		if d := found(t, dev, "D1"); d.Installed != jobID {
			t.Errorf("stopped in %s the disk is marked %q installed", phase, d.Installed)
		}
	}
	j = &journal{}
	if err := Run(t.Context(), again, first[1], []job.Disk{found(t, dev, "D1")}, j, o); err != nil {
		t.Fatal(err)
	}
	if e := j.last(); e.State != job.Done || !strings.HasSuffix(e.Message, " as lab-7") || !slices.Equal(j.started,
		[]string{"D1"}) {
		t.Errorf("the last event is %+v, started on %v", e, j.started)
	}
	if want := []string{first[0].Infos[0].UUID.String()}; len(have) == 0 || !slices.Contains(have, want[0]) {
		t.Errorf("the way was asked for from %v, want %v", have, want)
	}
	if d := found(t, dev, "D1"); d.Installed != again.ID || d.Damaged != "" {
		t.Errorf("the disk is %+v", d)
	}
	label := job.ESPLabel(again.ID)
	if out := disktest.Tool(t, "blkid", "-p", "-o", "value", "-s", "LABEL", node); strings.TrimSpace(out) != label {
		t.Errorf("the EFI system partition has the label %q, want %s", out, label)
	}
	if out, err := exec.Command("mlabel", "-s", "-i", node).CombinedOutput(); !strings.Contains(string(out), label) {
		t.Errorf("mlabel says %s, %v, want %s", out, err, label)
	}
	if out, err := exec.Command("fsck.vfat", "-n", node).CombinedOutput(); err != nil {
		t.Errorf("fsck.vfat: %v: %s", err, out)
	}
	if out := disktest.Tool(t, "sgdisk", "-v", dev); !strings.Contains(out, "No problems found") {
		t.Errorf("sgdisk -v: %s", out)
	}
	want := bootenv.Env{Good: filepath.Base(oldRoot), Candidate: filepath.Base(newRoot), Tries: 1}
	if e, err := bootenv.Read(esp); err != nil || e != want {
		t.Errorf("grubenv is %+v, %v, want %+v", e, err, want)
	}
	if c, err := bootloader.ReadConfig(esp); err != nil || !slices.Equal(c.Args, again.Args) {
		t.Errorf("grub.cfg has %+v, %v", c, err)
	}
	pooled(func(top string) {
		checkFiles(t, top, map[string]string{"@home/ada/thesis": "two years", "@home/alice/notes": "hers",
			"@persistent/lab": "kept", newRoot + "/etc/version": "2\n", newRoot + "/etc/hostname": "lab-7\n",
			newRoot + "/etc/machine-id": id, oldRoot + "/etc/version": "1\n", oldRoot + "/etc/machine-id": id})
	})

	// A pool whose roots are gone gets one that is another machine.
	pooled(func(top string) {
		for _, root := range []string{oldRoot, newRoot} {
			disktest.Tool(t, "btrfs", "subvolume", "delete", filepath.Join(top, root))
		}
	})
	third := again
	third.ID, third.Hostname, third.Pools = "1"+jobID[1:], "", []string{again.ID, jobID}
	if err := Run(t.Context(), third, first[1], []job.Disk{found(t, dev, "D1")}, &journal{}, o); err != nil {
		t.Fatal(err)
	}
	if e, err := bootenv.Read(esp); err != nil || e != (bootenv.Env{Good: filepath.Base(newRoot)}) {
		t.Errorf("grubenv is %+v, %v", e, err)
	}
	pooled(func(top string) {
		checkFiles(t, top, map[string]string{"@home/ada/thesis": "two years", newRoot + "/etc/hostname": "abc-123\n"})
	})

	// A pool that cannot be used is not touched, and the message says what to do.
	o.Place = func(string) (pool.Place, error) { return pool.Place{}, errors.New("it is damaged") }
	fourth := spec(dev)
	fourth.ID = "2" + jobID[1:]
	before := sum(t, dev)
	if err := Run(t.Context(), fourth, first[1], []job.Disk{found(t, dev, "D1")}, &journal{}, o); !errors.Is(err,
		ErrRefused) || !strings.Contains(err.Error(), "to overwrite it, add --erase D1") {
		t.Errorf("Run with a damaged pool = %v", err)
	}
	if sum(t, dev) != before {
		t.Error("the disk has changed")
	}
	fourth.Erase = "D1"
	o.MountESP = mtoolsESP(t)
	if err := Run(t.Context(), fourth, first[1], []job.Disk{found(t, dev, "D1")}, &journal{}, o); err != nil {
		t.Fatal(err)
	}
	pooled(func(top string) { checkFiles(t, top, map[string]string{"@home/ada/thesis": ""}) })
}

// publishAll are two versions of a template that can boot.
func publishAll(t testing.TB) []*intaketest.Image {
	return intaketest.Publish(t, func(dir string) {
		put(t, dir, map[string]string{"boot/vmlinuz-1": "a kernel", "boot/initrd.img-1": "an initrd",
			"etc/hostname": "x\n", "etc/machine-id": "", "etc/passwd": "root:x:0:0:root:/root:/bin/sh\n",
			"usr/lib/systemd/systemd": "process 1", "sbin/init": "-> ../usr/lib/systemd/systemd",
			"etc/group": "root:x:0:\n", "etc/version": "1\n", "home/alice/notes": "hers"})
	}, func(dir string) {
		put(t, dir, map[string]string{"etc/version": "2\n"})
	})
}
