package install

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"griddle/appliance/job"
	"griddle/initramfs/bootloader/bootenv"
	"griddle/initramfs/disk"
	"griddle/initramfs/disk/content"
	"griddle/initramfs/disk/disktest"
	"griddle/initramfs/disk/table"
	"griddle/initramfs/pool"
)

// sharedNumber is where share moves the pool: 3 to 7 on a GPT, and to 2 on an MBR.
func sharedNumber(kind string) int {
	if kind == "gpt" {
		return 7
	}
	return 2
}

// share makes a disk that an install had for itself one that others use too: the same partitions have other numbers
// and names, the first one is someone's data, the EFI system partition has the label of another system unless own is
// true, and the mark is in the pool. The disk has another ID.
func share(t *testing.T, dev, kind string, own bool) (id string) {
	t.Helper()
	if kind == "gpt" {
		id = "3e6be9de-8139-41d1-9106-a43f08d823a6"
		disktest.Tool(t, "sgdisk", "-U", id, "-c", "1:thesis", "-t", "1:8300", "-c", "2:EFI system partition",
			"-c", "3:griddle", "-r", "2:5", "-r", "3:7", dev)
	} else {
		id = "1b4e28ba"
		disktest.Tool(t, "wipefs", "--all", "--types", "gpt,PMBR", dev)
		cmd := exec.Command("sfdisk", "--no-reread", "--wipe", "never", "--wipe-partitions", "never", dev)
		// The gap before the first partition is where GRUB goes.
		cmd.Stdin = strings.NewReader("label: dos\nlabel-id: 0x1b4e28ba\n" +
			"3 : start=2048, size=2048, type=83, bootable\n1 : start=4096, size=532480, type=ef\n" +
			"2 : start=536576, size=1558528, type=83\n")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("sfdisk: %v: %s", err, out)
		}
	}
	f, err := disk.Claim(dev)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	size, sector, err := disk.Geometry(f)
	if err != nil {
		t.Fatal(err)
	}
	c, err := content.Inspect(f, size, sector)
	if err != nil {
		t.Fatal(err)
	}
	var parts []table.Part
	for _, p := range c.Partitions {
		parts = append(parts, table.Part{Number: p.Number, Name: p.Name, Start: p.Start, Size: p.Size})
	}
	_, err = f.WriteAt(bytes.Repeat([]byte("her thesis "), 1000), 1<<20)
	_, err2 := f.WriteAt(make([]byte, 440), 0) // another system's code
	if err := errors.Join(err, err2, f.Sync(), table.Announce(f, "/sys", parts),
		table.Begin(f, size, sector, sharedNumber(kind), jobID), table.Mark(f, size, sector, jobID)); err != nil {
		t.Fatal(err)
	}
	esp, err := disk.Node(dev, "/sys", map[string]int{"gpt": 5, "mbr": 1}[kind])
	if err == nil && !own {
		err = disk.LabelFAT(esp, "SYSTEM")
	}
	if err != nil {
		t.Fatal(err)
	}
	disktest.Tool(t, "mmd", "-i", esp, "::/EFI", "::/EFI/Microsoft")
	return id
}

// outside is what is on a disk but for its pool, GRUB's places on an MBR, and the label of its own EFI system
// partition.
func outside(t *testing.T, dev, kind string, own bool) string {
	t.Helper()
	sum(t, dev) // syncs
	f, err := os.Open(dev)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 262<<20)
	if _, err := f.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	if kind == "mbr" {
		clear(b[:440])
		clear(b[512 : 1<<20])
	}
	if own {
		b = bytes.ReplaceAll(bytes.ReplaceAll(b, []byte(job.ESPLabel(jobID)), []byte("LABEL")),
			[]byte(job.ESPLabel("0"+jobID[1:])), []byte("LABEL"))
	}
	tail := make([]byte, 1<<20)
	if _, err := f.ReadAt(tail, 1<<30-1<<20); err != nil {
		t.Fatal(err)
	}
	return string(b) + string(tail)
}

// A second install keeps the pool of a disk that others share: the mark goes to the new job by its last step, and
// nothing of the others changes, neither their table nor their partitions.
func TestKeepShared(t *testing.T) {
	images := publishAll(t)
	for _, c := range []struct {
		kind string
		own  bool
	}{{"gpt", false}, {"mbr", true}} {
		t.Run(c.kind, func(t *testing.T) {
			o := options(t)
			dev := disktest.Loop(t, 1<<30, 512)
			esp := filepath.Join(t.TempDir(), "esp")
			o.MountESP = func(_, dir string) (func() error, error) {
				return func() error { return os.Rename(dir, esp) }, nil
			}
			if err := Run(t.Context(), spec(dev), images[0], []job.Disk{found(t, dev, "D1")}, &journal{},
				o); err != nil {
				t.Fatal(err)
			}
			id := share(t, dev, c.kind, c.own)
			d := found(t, dev, "D1")
			if d.Installed != jobID || d.Unfinished != "" || d.Table != c.kind || d.Damaged != "" {
				t.Fatalf("the disk is %+v", d)
			}
			place, err := pool.On(dev)
			if err != nil || place.Job != jobID || (place.ESPID == "") != c.own || !place.Shared ||
				place.Pool != fmt.Sprintf("%sp%d", dev, sharedNumber(c.kind)) {
				t.Fatalf("On = %+v, %v", place, err)
			}
			before := outside(t, dev, c.kind, c.own)
			o.BIOS = true
			o.Place = func(path string) (pool.Place, error) {
				p, err := pool.On(path)
				p.ESP = esp
				return p, err
			}
			o.Plan = func(context.Context, []string) (Image, error) { return images[1].From(1), nil }
			again := spec(dev)
			again.ID, again.Pools = "0"+jobID[1:], []string{jobID}

			ctx, cancel := context.WithCancel(t.Context())
			if err := Run(ctx, again, images[1], []job.Disk{d}, &journal{on: func(e job.Event) {
				if e.Phase == job.PhaseBootable {
					cancel()
				}
			}}, o); err == nil {
				t.Error("it was not stopped")
			}
			if d := found(t, dev, "D1"); d.Installed != jobID || d.Unfinished != "" {
				t.Errorf("stopped before its end, the disk is %+v", d)
			}
			j := &journal{}
			if err := Run(t.Context(), again, images[1], []job.Disk{d}, j, o); err != nil {
				t.Fatal(err)
			}
			if d = found(t, dev, "D1"); d.Installed != again.ID || d.Unfinished != "" || d.Damaged != "" {
				t.Errorf("the disk is %+v", d)
			}
			want := job.Starts{TableID: id}
			if c.own {
				want.ESP = job.ESPLabel(again.ID)
			}
			if got := j.last().Starts; got == nil || *got != want {
				t.Errorf("the system starts by %+v, want %+v", got, want)
			}
			if outside(t, dev, c.kind, c.own) != before {
				t.Error("more than the pool has changed")
			}
			if e, err := bootenv.Read(esp); err != nil || e.Candidate == "" {
				t.Errorf("grubenv is %+v, %v", e, err)
			}
			boot := make([]byte, 512)
			f, err := os.Open(dev)
			if err == nil {
				_, err = f.ReadAt(boot, 0)
				f.Close()
			}
			if grub := bytes.Contains(boot, []byte("GRUB ")); err != nil || grub != (c.kind == "mbr") {
				t.Errorf("the boot sector has GRUB: %v, %v", grub, err)
			}
			// The job is done, as after a power cut before the server heard of it.
			whole := sum(t, dev)
			if err := Run(t.Context(), again, images[1], []job.Disk{d}, j, o); err != nil || sum(t, dev) != whole ||
				*j.last().Starts != want {
				t.Errorf("once more: %v, last event %+v", err, j.last())
			}
		})
	}
}
