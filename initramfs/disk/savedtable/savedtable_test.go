package savedtable

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"griddle/appliance/job"
	"griddle/initramfs/disk"
	"griddle/initramfs/disk/disktest"
	"griddle/initramfs/disk/entries"
	"griddle/initramfs/mounttest"
)

func TestMain(m *testing.M) {
	mounttest.Own()
	os.Exit(m.Run())
}

const size = 64 << 20

// sfdisk gives a disk a table.
func sfdisk(t *testing.T, dev, script string) {
	t.Helper()
	cmd := exec.Command("sfdisk", "--quiet", "--wipe", "never", dev)
	cmd.Stdin = strings.NewReader(script)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("sfdisk (run make deps): %v: %s", err, out)
	}
	disktest.Tool(t, "partx", "-u", dev)
}

// outside is the digest of all bytes of a disk but those of its table.
func outside(t *testing.T, dev string) string {
	t.Helper()
	f, err := os.Open(dev)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, io.NewSectionReader(f, 1<<20, size-2<<20)); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", sum.Sum(nil))
}

// The tables of a disk with Windows before and after a layout: partition 2 is smaller, 3 and 4 are new.
var tables = map[string][2]string{
	"gpt": {"label: gpt\nlabel-id: 11111111-2222-3333-4444-555555555555\nstart=2048, size=16384, type=U, name=esp\n" +
		"start=18432, size=60000, type=EBD0A0A2-B9E5-4433-87C0-68B6B72699C7, name=data\n",
		"label: gpt\nlabel-id: 11111111-2222-3333-4444-555555555555\nstart=2048, size=16384, type=U, name=esp\n" +
			"start=18432, size=20000, type=EBD0A0A2-B9E5-4433-87C0-68B6B72699C7, name=data\n" +
			"start=40960, size=8192, type=L, name=x\nstart=51200, size=4096, type=S, name=swap\n"},
	"mbr": {"label: dos\nlabel-id: 0x1234abcd\nstart=2048, size=16384, type=7, bootable\n" +
		"start=18432, size=60000, type=7\n",
		"label: dos\nlabel-id: 0x1234abcd\nstart=2048, size=16384, type=7, bootable\n" +
			"start=18432, size=20000, type=7\nstart=40960, size=8192, type=83\nstart=51200, size=4096, type=82\n"},
}

// changed is a disk whose table of before was saved, and that has the one of after.
func changed(t *testing.T, kind string) (dev string, saved job.SavedTable) {
	t.Helper()
	dev = disktest.Loop(t, size, 512)
	t.Cleanup(func() { exec.Command("partx", "-d", dev).Run() })
	f, err := os.OpenFile(dev, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(bytes.Repeat([]byte("data of people. "), 4<<20/16), 10<<20); err != nil {
		t.Fatal(err)
	}
	sfdisk(t, dev, tables[kind][0])
	b, err := entries.Save(f, size, 512)
	if err != nil {
		t.Fatal(err)
	}
	sfdisk(t, dev, tables[kind][1])
	return dev, job.SavedTable{Version: 1, Job: "j", Size: size, SectorSize: 512, Table: b}
}

// A disk gets its table back, and no other byte of it changes; what is lost has to be given up by its number.
func TestRestore(t *testing.T) {
	for kind := range tables {
		t.Run(kind, func(t *testing.T) {
			dev, saved := changed(t, kind)
			disktest.Tool(t, "mkfs.ext4", "-q", "-F", "-L", "mine", dev+"p3")
			before := outside(t, dev)
			for _, lose := range [][]int{nil, {3}, {1, 2, 4}} {
				_, err := Look(saved, dev, lose)
				if !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), "--lose 3,4") {
					t.Errorf("with %v given up: %v", lose, err)
				}
			}
			if _, err := Look(saved, dev, nil); !strings.Contains(err.Error(), `ext4 "mine"`) {
				t.Errorf("the error does not say what would be lost: %v", err)
			}
			for i := range 2 {
				c, err := Look(saved, dev, []int{3, 4})
				if err != nil {
					t.Fatal(err)
				}
				all := strings.Join(c.Lines, "\n")
				if i == 0 != (strings.Contains(all, "10.2 MB, becomes larger, 30.7 MB") &&
					strings.Count(all, "is LOST") == 2) || (i == 1) != (len(c.Lines) == 0) {
					t.Errorf("it would change %q", c.Lines)
				}
				if err := c.Restore(); err != nil {
					t.Fatal(err)
				}
			}
			f, err := os.Open(dev)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if now, err := entries.Save(f, size, 512); err != nil || !bytes.Equal(now, saved.Table) {
				t.Errorf("the table is not that of before: %v", err)
			}
			if outside(t, dev) != before {
				t.Error("bytes beside the table have changed")
			}
			has := strings.Fields(disktest.Tool(t, "lsblk", "-nrbo", "SIZE", dev))
			slices.Sort(has)
			if want := []string{"30720000", fmt.Sprint(size), fmt.Sprint(8 << 20)}; !slices.Equal(has, want) {
				t.Errorf("the kernel has %q, want %q", has, want)
			}
		})
	}
}

// A table of another disk, another table, a partition that became larger, a disk in use: nothing is changed.
func TestRefuses(t *testing.T) {
	dev, saved := changed(t, "gpt")
	whole := func() string {
		f, err := os.Open(dev)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		sum := sha256.New()
		if _, err := io.Copy(sum, f); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%x", sum.Sum(nil))
	}
	before := whole()
	for name, c := range map[string]struct {
		change func(s *job.SavedTable)
		err    error
	}{
		"another size":   {func(s *job.SavedTable) { s.Size++ }, ErrOther},
		"other sectors":  {func(s *job.SavedTable) { s.SectorSize = 4096 }, ErrOther},
		"no table in it": {func(s *job.SavedTable) { s.Table = []byte("{}") }, nil},
		"half of one":    {func(s *job.SavedTable) { s.Table = s.Table[:len(s.Table)/2] }, nil},
		"a damaged one": {func(s *job.SavedTable) {
			s.Table = bytes.Replace(s.Table, []byte(`"at":1024,"bytes":"o`), []byte(`"at":1024,"bytes":"p`), 1)
			s.Table = bytes.Replace(s.Table, []byte(`"at":1024,"bytes":"K`), []byte(`"at":1024,"bytes":"L`), 1)
		}, nil},
	} {
		s := saved
		s.Table = bytes.Clone(s.Table)
		c.change(&s)
		if _, err := Look(s, dev, []int{3, 4}); err == nil || c.err != nil && !errors.Is(err, c.err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, c := range []struct {
		saved job.SavedTable
		disk  disk.Disk
		ok    bool
	}{
		{job.SavedTable{Serial: "A", WWN: "w"}, disk.Disk{Serial: "A", WWN: "w"}, true},
		{job.SavedTable{Serial: "A"}, disk.Disk{WWN: "w"}, true},
		{job.SavedTable{Serial: "A"}, disk.Disk{Serial: "B"}, false},
		{job.SavedTable{Serial: "A", WWN: "w"}, disk.Disk{Serial: "A", WWN: "v"}, false},
	} {
		if err := other(c.saved, c.disk); (err == nil) != c.ok {
			t.Errorf("other(%+v, %+v) = %v", c.saved, c.disk, err)
		}
	}
	if whole() != before {
		t.Error("the disk has changed")
	}
	c, err := Look(saved, dev, []int{3, 4})
	if err != nil {
		t.Fatal(err)
	}
	sfdisk(t, dev, strings.Replace(tables["gpt"][1], "name=swap", "name=other", 1))
	if err := c.Restore(); err != nil { // a name of what is lost does not count
		t.Error(err)
	}
	for script, want := range map[string]error{
		strings.Replace(tables["gpt"][0], "size=60000", "size=61000", 1): ErrLost,
		strings.Replace(tables["gpt"][0], "11111111", "21111111", 1):     ErrLost,
		tables["mbr"][0]: ErrLost,
	} {
		sfdisk(t, dev, script)
		before := whole()
		if _, err := Look(saved, dev, []int{2, 3, 4}); !errors.Is(err, want) || whole() != before {
			t.Errorf("%q: %v", script, err)
		}
	}
	sfdisk(t, dev, tables["gpt"][1])
	if c, err = Look(saved, dev, []int{3, 4}); err != nil {
		t.Fatal(err)
	}
	used, err := os.OpenFile(dev+"p1", os.O_RDWR|os.O_EXCL, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer used.Close()
	before = whole()
	if err := c.Restore(); err == nil || whole() != before {
		t.Errorf("of a disk that is in use: %v", err)
	}
}

// A copy of the table that a power cut left, or that is gone, is no obstacle: the same call completes it.
func TestDamagedToday(t *testing.T) {
	for name, area := range map[string][2]int64{"the first copy": {512, 17408}, "the backup": {size - 16896, 16896},
		"both": {0, 0}} {
		dev, saved := changed(t, "gpt")
		f, err := os.OpenFile(dev, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		areas := [][2]int64{area}
		if name == "both" {
			areas = [][2]int64{{512, 17408}, {size - 16896, 16896}}
		}
		for _, a := range areas {
			if _, err := f.WriteAt(make([]byte, a[1]), a[0]); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			t.Fatal(err)
		}
		c, err := Look(saved, dev, []int{3, 4})
		if err == nil {
			err = c.Restore()
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if c, err = Look(saved, dev, nil); err != nil || len(c.Lines) > 0 {
			t.Errorf("%s: then %v, %v", name, c, err)
		}
	}
}
