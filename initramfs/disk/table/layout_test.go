package table

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"griddle/initramfs/disk"
	"griddle/initramfs/disk/content"
	"griddle/initramfs/disk/disktest"
)

const job = "5b2f0a4e-7a1c-4d3e-9f00-0123456789ab"

func TestWriteOnDevices(t *testing.T) {
	for _, sector := range []int{512, 4096} {
		t.Run(fmt.Sprint(sector), func(t *testing.T) {
			dev := disktest.Loop(t, 1<<30, sector)
			f, err := disk.Claim(dev)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			size, got, err := disk.Geometry(f)
			if err != nil || size != 1<<30 || got != sector {
				t.Fatalf("Geometry = %d, %d, %v; want %d, %d", size, got, err, 1<<30, sector)
			}
			l, err := WholeDisk(job, size, sector)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 { // the second time over its own partitions
				if err := l.Write(f, content.Content{}); err != nil {
					t.Fatal(err)
				}
				if err := Announce(f, "/sys", l.Parts()); err != nil {
					t.Fatal(err)
				}
			}
			esp, err := disk.Node(dev, "/sys", 2)
			if err != nil {
				t.Fatal(err)
			}
			pool, err := disk.Node(dev, "/sys", 3)
			if err != nil {
				t.Fatal(err)
			}
			f.Close()
			if out := disktest.Tool(t, "sgdisk", "-v", dev); !strings.Contains(out, "No problems found") {
				t.Errorf("sgdisk -v: %s", out)
			}
			if err := disk.MakeFAT(t.Context(), esp, "GR-1B4E28BA", "1234abcd", sector); err != nil {
				t.Fatal(err)
			}
			if err := disk.MakeBtrfs(t.Context(), LabelPool, "0a1b2c3d-0000-4000-8000-0123456789ab", pool); err != nil {
				t.Fatal(err)
			}
			if out := disktest.Tool(t, "fsck.vfat", "-n", esp); strings.Contains(out, "WARNING") ||
				strings.Contains(out, "Warning") {
				t.Errorf("fsck.vfat: %s", out)
			}

			f, err = disk.Claim(dev)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			c, err := content.Inspect(f, size, sector)
			if err != nil {
				t.Fatal(err)
			}
			if c.Table != "gpt" || c.Damaged != "" || c.Unfinished() != job || c.Finished() != "" ||
				c.Signature.Type != "" {
				t.Errorf("Inspect = %+v, want an unfinished GPT of %s and nothing else", c, job)
			}
			var kinds []string
			for _, p := range c.Partitions {
				kinds = append(kinds, p.Type+" "+p.Name+" "+p.Signature.Type+" "+p.Signature.Label)
			}
			want := "BIOS boot griddle-bios  |EFI system griddle-esp vfat GR-1B4E28BA|Linux filesystem " +
				"griddle-unfinished btrfs griddle"
			if got := strings.Join(kinds, "|"); got != want {
				t.Errorf("partitions = %s\nwant %s", got, want)
			}
			if err := Mark(f, size, sector, "another"); err == nil {
				t.Error("Mark by another job = nil, want an error")
			}
			if err := Mark(f, size, sector, job); err != nil {
				t.Fatal(err)
			}
			c, err = content.Inspect(f, size, sector)
			if err != nil || c.Unfinished() != "" || c.Finished() != job || c.Damaged != "" {
				t.Errorf("Inspect after Mark = %+v, %v", c, err)
			}
			f.Close()
			if out := disktest.Tool(t, "sgdisk", "-v", dev); !strings.Contains(out, "No problems found") {
				t.Errorf("sgdisk -v after Mark: %s", out)
			}
		})
	}
}

func TestWholeDiskRefuses(t *testing.T) {
	if _, err := WholeDisk(job, 200<<20, 512); err == nil {
		t.Error("WholeDisk of 200 MiB = nil, want an error")
	}
	if _, err := WholeDisk(job, 1<<40, 520); err == nil {
		t.Error("WholeDisk with sectors of 520 bytes = nil, want an error")
	}
}

// cut is a disk whose power fails after some writes.
type cut struct {
	*os.File
	left int
}

var errCut = errors.New("power cut")

// Sync keeps the order of the writes, which is all that counts here.
func (c *cut) Sync() error { return nil }

func (c *cut) WriteAt(b []byte, off int64) (int, error) {
	if c.left--; c.left < 0 {
		// The last write may have got half way.
		c.File.WriteAt(b[:len(b)/2], off)
		return 0, errCut
	}
	return c.File.WriteAt(b, off)
}

// TestPowerCut cuts the power at every write of Write and of Mark: the disk is what it was, or it has the mark of the
// job; and once it has the mark it keeps it, also while the job begins again.
func TestPowerCut(t *testing.T) {
	const size = 512 << 20
	l, err := WholeDisk(job, size, 512)
	if err != nil {
		t.Fatal(err)
	}
	fresh := func(t *testing.T) *os.File {
		f, err := os.Create(filepath.Join(t.TempDir(), "disk"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		if err := f.Truncate(size); err != nil {
			t.Fatal(err)
		}
		return f
	}
	state := func(f *os.File) string {
		c := inspected(t, f, size)
		switch {
		case c.Unfinished() == job:
			return "unfinished"
		case c.Finished() == job:
			return "finished"
		case c.Blank():
			return "blank"
		case c.Signature.Label == "thesis" || len(c.Partitions) == 1 && c.Partitions[0].Name == "thesis":
			return "old"
		}
		return fmt.Sprintf("%+v", c)
	}
	again := func(f Writable) error { return l.Write(f, inspected(t, f, size)) }
	half := func(n int) func(f *os.File) { // an install that the power was cut in before
		return func(f *os.File) {
			if err := again(&cut{f, n}); err == nil {
				t.Fatal("nothing was cut")
			}
			// The image that was received so far, in the middle of the pool.
			if _, err := f.WriteAt([]byte("half an image"), 400<<20); err != nil {
				t.Fatal(err)
			}
		}
	}
	whole := func(f *os.File) {
		if err := again(f); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name  string
		begin func(*os.File)
		step  func(Writable) error
		want  []string // the last one in the end
	}{
		{"blank", func(*os.File) {}, again, []string{"blank", "unfinished"}},
		{"ext4", func(f *os.File) { disktest.Tool(t, "mkfs.ext4", "-q", "-F", "-L", "thesis", f.Name()) }, again,
			[]string{"old", "unfinished"}},
		{"GPT", func(f *os.File) { disktest.Tool(t, "sgdisk", "-n", "1:0:+100M", "-c", "1:thesis", f.Name()) }, again,
			[]string{"old", "unfinished"}},
		{"own unfinished", whole, again, []string{"unfinished"}},
		{"begun", half(1), again, []string{"unfinished"}},
		{"first copy half written", half(3), again, []string{"unfinished"}},
		{"mark", whole, func(f Writable) error { return Mark(f, size, 512, job) }, []string{"unfinished", "finished"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			first := fresh(t)
			c.begin(first)
			for n := 0; ; n++ {
				f := fresh(t)
				disktest.Tool(t, "cp", "--sparse=always", first.Name(), f.Name())
				err := c.step(&cut{f, n})
				got := state(f)
				if !slices.Contains(c.want, got) {
					t.Errorf("power cut at write %d leaves a disk that is %s, want one of %v", n, got, c.want)
				}
				f.Close()
				os.Remove(f.Name())
				if err == nil {
					if got != c.want[len(c.want)-1] {
						t.Errorf("in the end the disk is %s, want %s", got, c.want[len(c.want)-1])
					}
					t.Logf("%d writes", n)
					return
				}
				if n > 100 {
					t.Fatal("it never ends")
				}
			}
		})
	}
}

// inspected is what a scan finds on a disk.
func inspected(t *testing.T, f io.ReaderAt, size int64) content.Content {
	t.Helper()
	c, err := content.Inspect(f, size, 512)
	if err != nil {
		t.Fatal(err)
	}
	if !c.Recognised() {
		c.Sampled = content.Sample(t.Context(), f, size)
	}
	return c
}

// TestWriteLeavesNoOldSignature: when the layout is on the disk, nothing that was there is recognised any more.
func TestWriteLeavesNoOldSignature(t *testing.T) {
	const size = 512 << 20
	l, err := WholeDisk(job, size, 512)
	if err != nil {
		t.Fatal(err)
	}
	for _, cmd := range []string{"mkfs.btrfs -q", "mkfs.ext4 -q -F", "mkfs.xfs -q", "mkfs.vfat -I", "mkswap",
		"parted -s -a none DISK mklabel msdos mkpart primary 1s 200MiB", "sgdisk -n 1:40:+90M -a 1"} {
		f, err := os.Create(filepath.Join(t.TempDir(), "disk"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := f.Truncate(size); err != nil {
			t.Fatal(err)
		}
		args := strings.Fields(cmd)
		if at := slices.Index(args, "DISK"); at >= 0 {
			args[at] = f.Name()
		} else {
			args = append(args, f.Name())
		}
		disktest.Tool(t, args[0], args[1:]...)
		if err := l.Write(f, inspected(t, f, size)); err != nil {
			t.Fatal(err)
		}
		if c := inspected(t, f, size); c.Damaged != "" || c.Signature.Type != "" || c.Begun != "" ||
			len(c.Partitions) != 3 {
			t.Errorf("%s: afterwards the disk holds %+v", cmd, c)
		}
		out := disktest.Tool(t, "wipefs", f.Name())
		if strings.Count(out, "gpt") != 2 || strings.Count(out, "\n") != 4 {
			t.Errorf("%s: afterwards wipefs finds:\n%s", cmd, out)
		}
	}
}

func TestProtectiveMBROfALargeDisk(t *testing.T) {
	const size = 3 << 40
	f, err := os.Create(filepath.Join(t.TempDir(), "disk"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	l, err := WholeDisk(job, size, 512)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Write(f, content.Content{}); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 4)
	if _, err := f.ReadAt(b, 446+12); err != nil || !bytes.Equal(b, []byte{255, 255, 255, 255}) {
		t.Errorf("size in the protective MBR = %x, %v; want ffffffff", b, err)
	}
	if out := disktest.Tool(t, "sgdisk", "-v", f.Name()); !strings.Contains(out, "No problems found") {
		t.Errorf("sgdisk -v: %s", out)
	}
}
