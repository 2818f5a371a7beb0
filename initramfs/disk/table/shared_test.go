package table

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"griddle/initramfs/disk/content"
	"griddle/initramfs/disk/disktest"
)

// sharedDisk is a file with a disk that others use: an ESP, a filesystem with data, a btrfs for the pool, and what the
// number of the last one is.
func sharedDisk(t *testing.T, kind string, size int64) (f *os.File, pool int) {
	t.Helper()
	const mib = 1 << 20
	name := filepath.Join(t.TempDir(), "disk")
	if err := errors.Join(os.WriteFile(name, nil, 0o600), os.Truncate(name, size)); err != nil {
		t.Fatal(err)
	}
	parts := [][2]int64{{1, 3}, {4, 5}, {10, 112}} // MiB
	table, pool := "label: gpt\n1: start=1MiB, size=3MiB, type=U\n3: start=4MiB, size=5MiB\n"+
		"7: start=10MiB, size=112MiB, name=griddle\n", 7
	if kind == "mbr" {
		table, pool = "label: dos\n1: start=1MiB, size=3MiB, type=ef\n2: start=4MiB, size=5MiB, type=7\n"+
			"3: start=9MiB, size=117MiB, type=5\n5: start=10MiB, size=112MiB, type=83\n", 5
	}
	cmd := exec.Command("sfdisk", "--quiet", name)
	cmd.Stdin = strings.NewReader(table)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("sfdisk: %v: %s", err, out)
	}
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	for i, mkfs := range []string{"mkfs.vfat -n SYSTEM", "mkfs.ext4 -q -F -L thesis", "mkfs.btrfs -q -L griddle"} {
		part := filepath.Join(t.TempDir(), "part")
		disktest.Image(t, part, parts[i][1]*mib, mkfs)
		b, err := os.ReadFile(part)
		if err == nil {
			_, err = f.WriteAt(b, parts[i][0]*mib)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return f, pool
}

// Every change of the mark is one sector: cut at any write, the disk says what it said before or what it says after
// it, and no other byte of it changes.
func TestSharedDisk(t *testing.T) {
	const size, sector = 128 << 20, 512
	for _, kind := range []string{"gpt", "mbr"} {
		f, number := sharedDisk(t, kind, size)
		read := func() []byte {
			b, err := os.ReadFile(f.Name())
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		state := func() string {
			c, err := content.Inspect(f, size, sector)
			if err != nil {
				t.Fatal(err)
			}
			return fmt.Sprintf("unfinished %.1s, finished %.1s", c.Unfinished(), c.Finished())
		}
		data := 3 // the number of the ext4
		if kind == "mbr" {
			data = 2
		}
		first := read()
		at := bytes.Index(first, []byte("_BHRfS_M")) - 0x10040 + content.MarkAt
		for _, step := range []struct {
			name string
			do   func(f Writable) error
			want string
		}{
			{"Begin", func(f Writable) error { return Begin(f, size, sector, number, firstJob) },
				"unfinished 5, finished "},
			{"Begin again", func(f Writable) error { return Begin(f, size, sector, number, firstJob) },
				"unfinished 5, finished "},
			{"Mark", func(f Writable) error { return Mark(f, size, sector, firstJob) }, "unfinished , finished 5"},
			{"Adopt", func(f Writable) error { return Adopt(f, size, sector, firstJob, secondJob) },
				"unfinished , finished 6"},
		} {
			before := state()
			for n := 0; ; n++ {
				err := step.do(&whole{cut{f, n}})
				if got := state(); err == nil && got != step.want || err != nil && got != before {
					t.Errorf("%s, %s: after %d writes and %v it is %q, want %q before and %q after", kind, step.name, n,
						err, got, before, step.want)
				}
				if err == nil {
					if n != 1 {
						t.Errorf("%s, %s: %d writes, want one", kind, step.name, n)
					}
					break
				}
				if !errors.Is(err, errCut) {
					t.Fatalf("%s, %s: %v", kind, step.name, err)
				}
			}
			now := read()
			if to := at + content.MarkSize; !bytes.Equal(now[:at], first[:at]) || !bytes.Equal(now[to:], first[to:]) {
				t.Errorf("%s, %s: more than the mark has changed", kind, step.name)
			}
		}
		now := read()
		for name, c := range map[string]struct {
			do   func() error
			want string
		}{
			"Begin in a pool": {func() error { return Begin(f, size, sector, number, firstJob) },
				"already has the mark of job " + secondJob},
			"Begin in one's own pool": {func() error { return Begin(f, size, sector, number, secondJob) },
				"already has the mark of job " + secondJob},
			"Begin in an ext4": {func() error { return Begin(f, size, sector, data, firstJob) },
				"has no btrfs"},
			"Begin in nothing": {func() error { return Begin(f, size, sector, 99, firstJob) },
				"has no partition 99"},
			"Begin of no job": {func() error { return Begin(f, size, sector, 99, "x") },
				"has no partition 99"},
			"Mark of another job": {func() error { return Mark(f, size, sector, firstJob) },
				"does not have the mark"},
			"Mark twice": {func() error { return Mark(f, size, sector, secondJob) },
				"does not have the mark"},
			"Adopt of another's": {func() error { return Adopt(f, size, sector, firstJob, secondJob) },
				"not have the mark"},
			"Adopt by what is not one": {func() error { return Adopt(f, size, sector, secondJob, "x") },
				"not the ID of a job"},
		} {
			if err := c.do(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s, %s = %v, want %q", kind, name, err, c.want)
			}
		}
		if !bytes.Equal(read(), now) {
			t.Errorf("%s: what was refused has changed the disk", kind)
		}
		// The programs of others see what they saw before, and mkfs.btrfs destroys the mark.
		part := filepath.Join(t.TempDir(), "pool")
		start := at - content.MarkAt
		if err := os.WriteFile(part, now[start:start+112<<20], 0o600); err != nil {
			t.Fatal(err)
		}
		disktest.Tool(t, "btrfs", "check", "--readonly", part)
		if out := disktest.Tool(t, "wipefs", "--noheadings", part); strings.Count(out, "\n") != 1 ||
			!strings.Contains(out, "btrfs") {
			t.Errorf("wipefs finds\n%s", out)
		}
		disktest.Tool(t, "mkfs.btrfs", "-q", "-f", part)
		b, err := os.ReadFile(part)
		if err == nil {
			_, err = f.WriteAt(b, int64(start))
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := state(); got != "unfinished , finished " {
			t.Errorf("after mkfs.btrfs the disk is %q", got)
		}
	}
}

// whole is a disk whose power fails before a sector is written, or after it.
type whole struct{ cut }

func (w *whole) WriteAt(b []byte, off int64) (int, error) {
	if len(b) > 512 || off%512 != 0 {
		return 0, fmt.Errorf("%d bytes at %d are more than a sector", len(b), off)
	}
	if w.left--; w.left < 0 {
		return 0, errCut
	}
	return w.File.WriteAt(b, off)
}

// A damaged table is not believed.
func TestBeginInADamagedTable(t *testing.T) {
	const size, sector = 128 << 20, 512
	f, number := sharedDisk(t, "gpt", size)
	if _, err := f.WriteAt(make([]byte, sector), size-sector); err != nil {
		t.Fatal(err)
	}
	if err := Begin(f, size, sector, number, firstJob); err == nil || !strings.Contains(err.Error(), "is damaged") {
		t.Errorf("Begin = %v, want an error", err)
	}
}
