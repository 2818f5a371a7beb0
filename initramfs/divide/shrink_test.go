package divide

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"griddle/appliance/layout"
	"griddle/appliance/layout/plan"
	"griddle/initramfs/disk/disktest"
	"griddle/initramfs/ntfs"
	"griddle/initramfs/ntfs/ntfstest"

	"golang.org/x/sys/unix"
)

// theVolume is a disk with an NTFS as Windows has it, with its files.
var theVolume struct {
	file  string
	files map[string]string
}

// largeWindows attaches a copy of it, with the serial S1.
func (m *machine) largeWindows() string {
	m.t.Helper()
	theWindows.Lock()
	defer theWindows.Unlock()
	if theVolume.file == "" {
		file := filepath.Join(os.TempDir(), "volume")
		makeWindows(m.t, file, 512, ntfstest.Size, 117*mib+ntfstest.Size+33*mib)
		v := ntfstest.Make(m.t, 512)
		theVolume.files = v.Files(m.t)
		v.Detach(m.t)
		disktest.Tool(m.t, "dd", "if="+v.Disk, "of="+file, "bs=1M", "skip=1", "seek=117", fmt.Sprint("count=",
			ntfstest.Size/mib), "conv=notrunc,sparse", "status=none")
		theVolume.file = file
	}
	return m.attach("S1", copied(m.t, theVolume.file), 512)
}

// beside is a layout with a pool in the space that a partition gives up.
func beside(number int, to int64) layout.Document {
	return of(layout.Partition{ID: "old", Match: &layout.Which{Number: number}, Shrink: &layout.Shrink{To: size(to)}},
		esp, pool)
}

// TestShrinkNTFS makes room beside a Windows, and ends the run at entries of its journal.
func TestShrinkNTFS(t *testing.T) {
	for n := 0; n < 100; n++ { // 0: it is not ended
		if !torture && n != 0 && n != 8 && n != 11 {
			continue
		}
		more := true
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			m := &machine{t: t}
			dev := m.largeWindows()
			p := m.plan(beside(3, ntfstest.End))
			before := sums(t, dev, staying(p)...)
			b := book{fail: n, keep: n%3 > 0}
			if n > 0 {
				_, err := m.run(p, &b)
				if more = err != nil; !more {
					return
				}
				if !errors.Is(err, errBook) {
					t.Fatalf("Run, ended at entry %d = %v", n, err)
				}
				b.fail = 0
			}
			made := m.must(p, &b)
			same(t, before, sums(t, dev, staying(p)...))
			v := ntfstest.Volume{Device: dev + "p3"}
			if files := v.Files(t); !maps.Equal(files, theVolume.files) {
				t.Errorf("the NTFS had %d files, and has %d, or others", len(theVolume.files), len(files))
			}
			if want := int64(117*mib + ntfstest.End); made.Pool.Part.Start != want {
				t.Errorf("the pool begins at byte %d, want %d", made.Pool.Part.Start, want)
			}
		})
		if !more {
			return
		}
	}
}

// TestResizeKilled kills the program that shrinks an NTFS while it moves data. The partition is as large as before, so
// that the volume fits it; all files can be read; and each later run says what Windows has to do first.
func TestResizeKilled(t *testing.T) {
	m := &machine{t: t}
	dev := m.largeWindows()
	p := m.plan(beside(3, ntfstest.End))
	before, table := sums(t, dev, staying(p)...), disktest.Tool(t, "sfdisk", "--dump", dev)
	var b book
	o := m.options(p, &b)
	o.Progress = func(p Progress) {
		if p.Phase == "moving data" && p.Percent >= 20 {
			killChild(t, "ntfsresize")
		}
	}
	if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "it ended by the signal killed") {
		t.Fatalf("Run = %v", err)
	}
	for range 2 {
		_, err := m.run(p, &b)
		var why ntfs.Refusal
		if !errors.As(err, &why) || why.Reason != ntfs.HalfDone || !strings.Contains(err.Error(), "chkdsk") {
			t.Errorf("Run, continued = %v", err)
		}
	}
	same(t, before, sums(t, dev, staying(p)...))
	if now := disktest.Tool(t, "sfdisk", "--dump", dev); now != table {
		t.Errorf("the table was\n%s\nand is\n%s", table, now)
	}
	if files := (&ntfstest.Volume{Device: dev + "p3"}).Files(t); !maps.Equal(files, theVolume.files) {
		t.Errorf("the NTFS had %d files, and has %d, or others", len(theVolume.files), len(files))
	}
}

// killChild kills a program that this process runs.
func killChild(t testing.TB, name string) {
	list, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range list {
		b, _ := os.ReadFile(file)
		var pid, parent int
		var comm, state string
		if n, _ := fmt.Sscan(string(b), &pid, &comm, &state, &parent); n == 4 && comm == "("+name+")" &&
			parent == os.Getpid() {
			if err := unix.Kill(pid, unix.SIGKILL); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestUnfit has a Windows that must not be shrunk: nothing is written.
func TestUnfit(t *testing.T) {
	m := &machine{t: t}
	dev := m.largeWindows()
	p := m.plan(beside(3, ntfstest.End))
	disktest.Tool(t, "partx", "--update", dev)
	(&ntfstest.Volume{Device: dev + "p3"}).SetDirty(t, 1024)
	before := m.everything(dev)
	_, err := m.run(p, &book{})
	var why ntfs.Refusal
	if !errors.As(err, &why) || why.Reason != ntfs.Dirty || !strings.HasPrefix(err.Error(),
		"step 1 of 7, disk main: check the ntfs of partition 3, and try to shrink it to 2.15 GB: it is marked for a "+
			"check by Windows: start Windows") {
		t.Errorf("Run = %v", err)
	}
	p = m.plan(beside(3, 1024*mib)) // less than its files need
	if _, err := m.run(p, &book{}); err == nil {
		t.Error("a size that is too small was taken")
	}
	if m.everything(dev) != before {
		t.Error("the disk was written to")
	}
}

// TestNotShrunk refuses to make a partition smaller than its filesystem, whatever the journal says.
func TestNotShrunk(t *testing.T) {
	m := &machine{t: t}
	dev, _ := m.linux("ext4")
	p := m.plan(beside(2, 400*mib))
	var b book
	b.fail, b.keep = 6, true
	if _, err := m.run(p, &b); !errors.Is(err, errBook) {
		t.Fatalf("Run = %v", err)
	}
	past := b.entries(t)
	past = append(past, Entry{Version: Version, Job: jobID, Step: 3, State: Done})
	if s := p.Steps[2]; s.Do != plan.ShrinkFilesystem || past[5].Step != 3 {
		t.Fatalf("entry 6 is %+v", past[5])
	}
	before := m.everything(dev)
	o := m.options(p, &book{})
	o.Past = past
	if _, err := Run(t.Context(), o); !errors.Is(err, ErrChanged) || !strings.Contains(err.Error(),
		"should have been shrunk to 419430400") {
		t.Errorf("Run = %v", err)
	}
	if m.everything(dev) != before {
		t.Error("the disk was written to")
	}
}

// TestPrograms refuses a plan whose programs are not there.
func TestPrograms(t *testing.T) {
	m := &machine{t: t}
	dev, _ := m.linux("btrfs")
	p := m.plan(beside(2, 400*mib))
	before := m.everything(dev)
	path := os.Getenv("PATH")
	t.Setenv("PATH", t.TempDir())
	var b book
	_, err := Run(t.Context(), m.options(p, &b))
	t.Setenv("PATH", path)
	if err == nil || !strings.Contains(err.Error(), "programs are missing in this boot image: btrfs, mkfs.btrfs") ||
		len(b.lines) > 0 {
		t.Errorf("Run = %v", err)
	}
	if m.everything(dev) != before {
		t.Error("the disk was written to")
	}
}

// TestTools gets the programs that are missing, before anything is written, and only those.
func TestTools(t *testing.T) {
	m := &machine{t: t}
	dev, _ := m.linux("btrfs")
	p := m.plan(beside(2, 400*mib))
	before := m.everything(dev)
	path := os.Getenv("PATH")
	t.Setenv("PATH", t.TempDir())
	var b book
	o := m.options(p, &b)
	var asked []string
	failed := errors.New("the tools archive could not be fetched")
	o.Tools = func(_ context.Context, programs ...string) error {
		asked = append(asked, programs...)
		return failed
	}
	_, err := Run(t.Context(), o)
	t.Setenv("PATH", path)
	if !errors.Is(err, failed) || !strings.Contains(err.Error(), "nothing was written") || len(b.lines) > 0 {
		t.Errorf("Run = %v, after the entries %q", err, b.lines)
	}
	if want := []string{"btrfs", "mkfs.btrfs"}; !slices.Equal(asked, want) {
		t.Errorf("asked for %q, want %q", asked, want)
	}
	if m.everything(dev) != before {
		t.Error("the disk was written to")
	}
	t.Setenv("PATH", t.TempDir())
	o.Tools = func(context.Context, ...string) error { return os.Setenv("PATH", path) }
	if _, err := Run(t.Context(), o); err != nil {
		t.Errorf("Run with the tools = %v", err)
	}
}
