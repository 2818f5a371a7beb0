package divide

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"griddle/appliance/job"
	"griddle/appliance/layout"
	"griddle/initramfs/disk/disktest"

	"golang.org/x/sys/unix"
)

// two is a layout of two disks: one beside a Windows, and a blank one.
func two() layout.Document {
	doc := of(esp, pool)
	doc.Disks[0].Match = job.Match{Serial: "S1"}
	doc.Disks = append(doc.Disks, layout.Disk{ID: "people", Match: job.Match{Serial: "S2"},
		Partitions: []layout.Partition{{ID: "home", Use: layout.Home, Size: size(40 * mib)}}})
	return doc
}

// TestNamesSwap gives the names of two disks to each other after each look. Each disk gets its own.
func TestNamesSwap(t *testing.T) {
	m := &machine{t: t}
	windows, blank := m.windows(512), m.blank("S2", 200*mib, 512)
	p := m.plan(two())
	before := sums(t, windows, staying(p)...)
	looks := 0
	o := m.options(p, &book{})
	o.Find = func(ctx context.Context) ([]job.Disk, error) {
		disks, err := m.find(ctx)
		if looks++; looks == 2 { // the path that was opened is that of the other disk now
			for i := range disks {
				disks[i].Path = map[string]string{windows: blank, blank: windows}[disks[i].Path]
			}
		}
		return disks, err
	}
	made, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	m.asPlanned(p, made)
	same(t, before, sums(t, windows, staying(p)...))
	if looks < 3 || made.Disk.Path != windows || !strings.HasPrefix(made.Parts[len(made.Parts)-1].Node, blank) {
		t.Errorf("after %d looks, Run = %+v", looks, made)
	}
}

// TestWhichDisk has disks that are not there, are there twice, are other ones, and change their names all the time.
func TestWhichDisk(t *testing.T) {
	m := &machine{t: t}
	dev := m.windows(512)
	p := m.plan(of(esp, pool))
	before := m.everything(dev)
	looks := 0
	for _, c := range []struct {
		want   string
		change func(disks []job.Disk) []job.Disk
	}{
		{"the planned disk is missing", func([]job.Disk) []job.Disk { return nil }},
		{"the planned disk is missing", func(d []job.Disk) []job.Disk { d[0].Serial = "S9"; return d }},
		{"the planned disk is missing", func(d []job.Disk) []job.Disk { d[0].Size += 512; return d }},
		{"look the same", func(d []job.Disk) []job.Disk { return append(d, d[0]) }},
		{"can only be read", func(d []job.Disk) []job.Disk { d[0].ReadOnly = true; return d }},
		{"the names of the disks change all the time", func(d []job.Disk) []job.Disk {
			looks++
			d[0].Path = filepath.Join(t.TempDir(), fmt.Sprint(looks))
			_ = os.Symlink(dev, d[0].Path)
			return d
		}},
		{"it has a filesystem of the whole disk", func(d []job.Disk) []job.Disk { d[0].Signature = "zfs"; return d }},
	} {
		o := m.options(p, &book{})
		o.Find = func(ctx context.Context) ([]job.Disk, error) {
			disks, err := m.find(ctx)
			return c.change(disks), err
		}
		if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Run = %v, want %q", err, c.want)
		}
	}
	o := m.options(p, &book{})
	failed := errors.New("the kernel is out of memory")
	o.Find = func(context.Context) ([]job.Disk, error) { return nil, failed }
	if _, err := Run(t.Context(), o); !errors.Is(err, failed) {
		t.Errorf("Run = %v", err)
	}
	// Someone has a partition that stays for himself, as a mount has: the disk cannot be claimed.
	disktest.Tool(t, "partx", "--update", dev)
	mounted, err := os.OpenFile(dev+"p1", os.O_RDONLY|unix.O_EXCL, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = m.run(p, &book{})
	mounted.Close()
	if !errors.Is(err, unix.EBUSY) || !strings.Contains(err.Error(), "something on it is in use") {
		t.Errorf("Run with a mounted partition = %v", err)
	}
	if m.everything(dev) != before {
		t.Error("the disk was written to")
	}
}

// TestBlank has a blank disk that a look does not read, as it does not read removable ones. It is read before it is
// written to, and counts as blank only if it is.
func TestBlank(t *testing.T) {
	for _, written := range []bool{true, false} {
		m := &machine{t: t}
		dev := m.blank("S1", 600*mib, 512)
		p := m.plan(of(esp, pool))
		if written {
			noise(t, dev, 0, 64*mib)
		}
		o := m.options(p, &book{})
		o.Find = func(ctx context.Context) ([]job.Disk, error) {
			disks, err := m.find(ctx)
			disks[0].Sampled = ""
			return disks, err
		}
		made, err := Run(t.Context(), o)
		if written {
			if !errors.Is(err, ErrChanged) || !strings.Contains(err.Error(), "it was blank, and has unknown content") {
				t.Errorf("Run = %v", err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		m.asPlanned(p, made)
	}
}

// TestDiskFails has a disk whose writes fail from some time on, because the file behind it gets no more space. When it
// has space again, the plan is carried out.
func TestDiskFails(t *testing.T) {
	small := t.TempDir()
	if err := unix.Mount("tmpfs", small, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(small, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	m := &machine{t: t}
	m.windows(512)
	file := filepath.Join(small, "disk")
	disktest.Tool(t, "cp", "--sparse=always", theWindows.files[512], file)
	// A loop device loses what is behind a hole that it cannot fill, and says that it wrote it.
	disktest.Tool(t, "fallocate", "--length", "1MiB", file)
	disktest.Tool(t, "fallocate", "--offset", fmt.Sprint(999*mib), "--length", "1MiB", file)
	m.disks = nil
	dev := m.attach("S1", file, 512)
	limit := func(more int64) {
		var st unix.Stat_t
		if err := unix.Stat(file, &st); err != nil {
			t.Fatal(err)
		}
		disktest.Tool(t, "mount", "-o", fmt.Sprint("remount,size=", st.Blocks*512+more), small)
	}
	p := m.plan(methods()[3].doc)
	before := sums(t, dev, staying(p)...)
	var b book
	failed := 0
	for more := int64(0); ; more += 4 * mib {
		limit(more)
		made, err := m.run(p, &b)
		if err == nil {
			m.asPlanned(p, made)
			break
		}
		failed++
		if errors.Is(err, ErrChanged) || failed > 100 {
			t.Fatalf("Run = %v", err)
		}
		same(t, before, sums(t, dev, staying(p)...))
	}
	same(t, before, sums(t, dev, staying(p)...))
	if failed == 0 {
		t.Error("no write failed: this test proves nothing")
	}
}

// TestUnreadable has a disk that answers no more reads at some time: the step fails, and nothing is written. When it
// answers again, the plan is carried out.
func TestUnreadable(t *testing.T) {
	m := &machine{t: t}
	m.windows(512)
	p := m.plan(methods()[3].doc)
	points := []int{len(p.Steps) / 2}
	if torture {
		points = nil
		for n := range p.Steps {
			points = append(points, n+1)
		}
	}
	for _, n := range points {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			m := &machine{t: t}
			dev := m.windows(512)
			before := sums(t, dev, staying(p)...)
			var b book
			o := m.options(p, &b)
			looks, saved := 0, ""
			o.Find = func(ctx context.Context) ([]job.Disk, error) {
				disks, err := m.find(ctx)
				if looks++; looks == n {
					saved = unplug(t, dev)
				}
				return disks, err
			}
			_, err := Run(t.Context(), o)
			replug(t, dev, saved)
			if err == nil || errors.Is(err, ErrChanged) {
				t.Fatalf("Run, without a disk that answers = %v", err)
			}
			same(t, before, sums(t, dev, staying(p)...))
			m.must(p, &b)
			same(t, before, sums(t, dev, staying(p)...))
		})
	}
}

// backing is the file behind a loop device.
func backing(t testing.TB, dev string) string {
	t.Helper()
	name, err := os.ReadFile(filepath.Join("/sys/block", filepath.Base(dev), "loop/backing_file"))
	if err != nil {
		t.Fatal(err)
	}
	// The file is in a filesystem that only these tests have mounted: the kernel names it from there.
	file := strings.TrimSpace(string(name))
	if _, err := os.Stat(file); err != nil {
		file = filepath.Join(os.TempDir(), file)
	}
	return file
}

// unplug lets all reads of a disk fail, and returns where its bytes are meanwhile.
func unplug(t testing.TB, dev string) (saved string) {
	t.Helper()
	disktest.Tool(t, "blockdev", "--flushbufs", dev)
	saved = filepath.Join(t.TempDir(), "saved")
	disktest.Tool(t, "cp", "--sparse=always", backing(t, dev), saved)
	if err := os.Truncate(backing(t, dev), 0); err != nil {
		t.Fatal(err)
	}
	return saved
}

// replug is the end of that.
func replug(t testing.TB, dev, saved string) {
	t.Helper()
	disktest.Tool(t, "blockdev", "--flushbufs", dev)
	disktest.Tool(t, "cp", "--sparse=always", saved, backing(t, dev))
	disktest.Tool(t, "blockdev", "--flushbufs", dev)
}
