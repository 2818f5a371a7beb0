package install

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"

	"griddle/appliance/job"
	"griddle/initramfs/disk"
	"griddle/initramfs/disk/content"
	"griddle/initramfs/disk/disktest"
	"griddle/initramfs/disk/table"
	"griddle/initramfs/divide"
)

// small is the least tree that can boot.
func small(t testing.TB, more map[string]string) *sent {
	return publish(t, func(dir string) {
		put(t, dir, map[string]string{"boot/vmlinuz-1": "a kernel", "etc/hostname": "x\n",
			"lib/systemd/systemd": "process 1", "sbin/init": "-> ../lib/systemd/systemd"})
		put(t, dir, more)
	})
}

func write(t testing.TB, dev string, at int64, data string) {
	t.Helper()
	f, err := os.OpenFile(dev, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte(data), at); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
}

// TestInterrupted stops a job in each phase: the disk is then the job's own, and no other's.
func TestInterrupted(t *testing.T) {
	img, o := small(t, nil), options(t)
	dev := disktest.Loop(t, 1<<30, 512)
	for _, phase := range []job.Phase{job.PhasePartition, job.PhaseReceive, job.PhaseVerify, job.PhaseBootable} {
		ctx, cancel := context.WithCancel(t.Context())
		j := &journal{on: func(e job.Event) {
			if e.Phase == phase {
				cancel()
			}
		}}
		err := Run(ctx, spec(dev), img, []job.Disk{found(t, dev, "D1")}, j, o)
		cancel()
		if err == nil || j.last().State != job.Failed {
			t.Fatalf("Run stopped in phase %s = %v, last event %+v", phase, err, j.last())
		}
		d := found(t, dev, "D1")
		if d.Unfinished != jobID || d.Installed != "" {
			t.Errorf("stopped in phase %s the disk is marked %q unfinished, %q installed", phase,
				d.Unfinished, d.Installed)
		}
		other := spec(dev)
		other.ID = "0" + jobID[1:]
		if err := Run(t.Context(), other, img, []job.Disk{d}, &journal{}, o); !errors.Is(err, ErrRefused) {
			t.Errorf("Run of another job = %v, want ErrRefused", err)
		}
	}
	resumed := spec(dev)
	resumed.Started = "D1"
	if err := Run(t.Context(), resumed, img, []job.Disk{found(t, dev, "D1")}, &journal{}, o); err != nil {
		t.Errorf("Run of the same job again = %v", err)
	}
}

// TestAfterDeadAgent: what an agent that was killed left mounted does not stop the next one.
func TestAfterDeadAgent(t *testing.T) {
	img, o := small(t, nil), options(t)
	dev := disktest.Loop(t, 1<<30, 512)
	ctx, cancel := context.WithCancel(t.Context())
	err := Run(ctx, spec(dev), img, []job.Disk{found(t, dev, "D1")}, &journal{on: func(e job.Event) {
		if e.Phase == job.PhaseReceive {
			cancel()
		}
	}}, o)
	pool, nodeErr := disk.Node(dev, "/sys", 3)
	if err == nil || nodeErr != nil {
		t.Fatalf("Run = %v, and its pool %v", err, nodeErr)
	}
	disktest.Tool(t, "mount", pool, filepath.Join(o.Mount, "pool"))
	t.Cleanup(func() { _ = exec.Command("umount", "-q", filepath.Join(o.Mount, "pool")).Run() })
	if err := Run(t.Context(), spec(dev), img, []job.Disk{found(t, dev, "D1")}, &journal{}, o); err != nil {
		t.Errorf("Run with the pool still mounted = %v", err)
	}
}

// TestTakenBack: whoever takes a job back reads what that means for the disk, and not what a program said when it was
// killed.
func TestTakenBack(t *testing.T) {
	img, o := small(t, nil), options(t)
	dev := disktest.Loop(t, 1<<30, 512)
	back := errors.New("taken back")
	wants := map[job.Phase]string{job.PhaseCheck: "taken back; nothing was written to disk",
		job.PhaseReceive: "taken back; the data on " + dev + " is lost"}
	for _, phase := range []job.Phase{job.PhaseCheck, job.PhaseReceive} { // in this order: the second one writes
		want := wants[phase]
		ctx, cancel := context.WithCancelCause(t.Context())
		j := &journal{on: func(e job.Event) {
			if e.Phase == phase {
				cancel(back)
			}
		}}
		err := Run(ctx, spec(dev), img, []job.Disk{found(t, dev, "D1")}, j, o)
		if e := j.last(); !errors.Is(err, back) || e.State != job.Failed || !strings.HasPrefix(e.Message, want) {
			t.Errorf("taken back in phase %s: %v, last event %+v; want %q", phase, err, e, want)
		}
		if d := found(t, dev, "D1"); (phase == job.PhaseCheck) != d.Blank() {
			t.Errorf("taken back in phase %s the disk is %+v", phase, d)
		}
	}
}

// TestNameGoesToAnotherDisk while the image is received: nothing more is written to what has the name now.
func TestNameGoesToAnotherDisk(t *testing.T) {
	img, o := small(t, nil), options(t)
	dev := disktest.Loop(t, 1<<30, 512)
	f, err := os.OpenFile(dev, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := &work{spec: spec(dev), img: img, report: &journal{}, o: o, target: found(t, dev, "D1")}
	l, err := table.WholeDisk("0"+jobID[1:], 1<<30, 512)
	if err == nil {
		err = l.Write(f, content.Content{})
	}
	if err != nil {
		t.Fatal(err)
	}
	w.parts.bios = divide.Extent{Start: l.BIOS.Start, Size: l.BIOS.Size}
	w.parts.espDir, w.parts.poolID = t.TempDir(), uuid.NewString()
	before := sum(t, dev)
	for name, step := range map[string]func() error{"bootloader": func() error { return w.bootloader("x") },
		"finish": w.finish} {
		if err := step(); err == nil || !strings.Contains(err.Error(), "mark") {
			t.Errorf("%s on a disk that is not this job's = %v", name, err)
		}
	}
	if sum(t, dev) != before {
		t.Error("the disk has changed")
	}
}

// TestRecorded: the server is told a name that no other disk has, and of a job that goes on the name that it was told.
func TestRecorded(t *testing.T) {
	twin := job.Disk{Path: "/dev/sdb", Serial: "TWIN", WWN: "eui.2"}
	for serial, want := range map[string]string{"S1": "S1", "": "/dev/sda", "A  B": "/dev/sda", "\u202eA": "/dev/sda",
		"TWIN": "/dev/sda"} {
		d := job.Disk{Path: "/dev/sda", Serial: serial}
		if got := recorded(job.Spec{}, d, []job.Disk{d, twin}); got != want {
			t.Errorf("recorded(%q) = %q, want %q", serial, got, want)
		}
		if got := recorded(job.Spec{Started: "as before"}, d, []job.Disk{d, twin}); got != "as before" {
			t.Errorf("recorded(%q) of a job that goes on = %q, want what the server knows", serial, got)
		}
	}
	d := job.Disk{Path: "/dev/sda", Serial: "TWIN", WWN: "eui.1"}
	if got := recorded(job.Spec{}, d, []job.Disk{d, twin}); got != "eui.1" {
		t.Errorf("recorded of a disk with a WWN = %q, want that", got)
	}
}

func TestFailures(t *testing.T) {
	img, o := small(t, nil), options(t)
	dev := disktest.Loop(t, 1<<30, 512)
	blank := sum(t, dev)
	try := func(name string, img Image, j *journal, want string) {
		t.Helper()
		err := Run(t.Context(), spec(dev), img, []job.Disk{found(t, dev, "D1")}, j, o)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: Run = %v, want %q in it", name, err, want)
		}
		if e := j.last(); e.State != job.Failed {
			t.Errorf("%s: last event = %+v, want failed", name, e)
		}
	}
	try("the server does not acknowledge", img, &journal{refuse: errors.New("no answer")}, "no answer")
	kernelless := publish(t, func(dir string) { put(t, dir, map[string]string{"etc/hostname": "x"}) })
	try("no kernel", kernelless, &journal{}, "no kernel")
	if sum(t, dev) != blank {
		t.Error("the disk was touched")
	}

	short := *img
	short.Between = func(_ int, r io.Reader) io.Reader { return io.LimitReader(r, 200) }
	try("the stream ends early", &short, &journal{}, "stream")
	other := *small(t, map[string]string{"etc/hostname2": "y"})
	mixed := *img
	mixed.Manifest = other.Manifest
	try("the tree is not as its manifest", &mixed, &journal{}, "etc/hostname2")
	if d := found(t, dev, "D1"); d.Unfinished != jobID {
		t.Errorf("disk = %+v, want unfinished", d)
	}
}

// TestHostileTrees: an image that would have Run write elsewhere makes it fail, and nothing elsewhere changes.
func TestHostileTrees(t *testing.T) {
	o := options(t)
	dev := disktest.Loop(t, 1<<30, 512)
	outside := t.TempDir()
	for i, files := range []map[string]string{
		{"etc/x": "", "etc/systemd": "-> " + outside},
		{"usr": "-> " + outside},
		{"home": "-> " + outside},
		{"var/lib": "-> ../../../../../../.." + outside},
		{"etc/ssh": "-> " + outside},
		{"persistent": "-> " + outside},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			s := spec(dev)
			s.Erase = dev
			err := Run(t.Context(), s, small(t, files), []job.Disk{found(t, dev, "D1")}, &journal{}, o)
			t.Logf("Run = %v", err)
			if entries, _ := os.ReadDir(outside); len(entries) != 0 {
				t.Errorf("%s has %v", outside, entries)
			}
			if d := found(t, dev, "D1"); (err == nil) != (d.Installed == jobID) {
				t.Errorf("Run = %v and the disk is marked %q", err, d.Installed)
			}
			if err == nil {
				disktest.Tool(t, "blkdiscard", "-f", dev) // the next one begins with a blank disk
			}
		})
	}
	if _, err := os.Stat(filepath.Join(outside, "x")); err == nil {
		t.Error("a file outside was made")
	}
}

// TestKernelImage: an image without a kernel gets that of the job's kernel image.
func TestKernelImage(t *testing.T) {
	o := options(t)
	dev := disktest.Loop(t, 1<<30, 512)
	const release = "6.1.0-56-amd64"
	bare := publish(t, func(dir string) { put(t, dir, map[string]string{"etc/hostname": "x"}) })
	kernel := publish(t, func(dir string) {
		put(t, dir, map[string]string{"boot/vmlinuz-" + release: "a kernel", "boot/initrd.img-" + release: "an initrd",
			"usr/lib/modules/" + release + "/modules.dep": ""})
	})
	kernel.Infos[0].Ref = "griddle/kernel:6.1.187@amd64"
	s := spec(dev)
	s.Kernel = job.Image{Ref: kernel.Ref()}
	o.Kernel = func(context.Context, []string) (Image, error) { return kernel, nil }
	if err := Run(t.Context(), s, bare, []job.Disk{found(t, dev, "D1")}, &journal{}, o); err != nil {
		t.Fatal(err)
	}
	mounted(t, dev, func(top string) {
		checkFiles(t, filepath.Join(top, "@roots/web-20261120.1@amd64"), map[string]string{
			"boot/vmlinuz-" + release: "a kernel", "boot/initrd.img-" + release: "an initrd"})
		if _, err := os.Stat(filepath.Join(top, "@images/griddle_kernel-6.1.187@amd64")); err != nil {
			t.Errorf("the pool does not keep the kernel image: %v", err)
		}
	})
}
