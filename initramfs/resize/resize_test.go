package resize

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"griddle/initramfs/disk/disktest"
	"griddle/initramfs/ntfs/trace"

	"golang.org/x/sys/unix"
)

// shrunk fails if a filesystem is not whole in its new size, with all its files.
func shrunk(t *testing.T, node, kind string, files map[string]string) {
	t.Helper()
	if s, err := superOf(node, kind); err != nil || s.size > to {
		t.Errorf("the filesystem has %d bytes, %v", s.size, err)
	}
	if err := Whole(t.Context(), node, kind); err != nil {
		t.Errorf("Whole = %v", err)
	}
	if now := tree(t, node); !maps.Equal(now, files) {
		t.Errorf("there were %d files, and there are %d, or others", len(files), len(now))
	}
}

func TestShrink(t *testing.T) {
	for _, kind := range []string{"ext2", "ext3", "ext4", "btrfs"} {
		if !torture && kind == "ext3" { // between its neighbours
			continue
		}
		t.Run(kind, func(t *testing.T) {
			node, files := made(t, kind)
			before := sum(t, node)
			if err := Check(t.Context(), node, kind, to); err != nil {
				t.Fatalf("Check = %v", err)
			}
			var b book
			b.fail = errors.New("the server is away")
			o := Options{Node: node, Kind: kind, To: to, Record: b.record}
			if err := Shrink(t.Context(), o); !errors.Is(err, b.fail) || sum(t, node) != before {
				t.Fatalf("Shrink without a journal = %v, or the disk was written to", err)
			}
			b.fail = nil
			for range 2 { // the second one has nothing to do
				if err := Shrink(t.Context(), o); err != nil {
					t.Fatalf("Shrink = %v", err)
				}
				shrunk(t, node, kind, files)
				o.Begun = b.begun
			}
		})
	}
}

// TestKilled kills the programs before one of their writes, or has the power fail while that is on its way, so that any
// of its sectors are on the disk; and continues.
func TestKilled(t *testing.T) {
	writes := 0
	stopped := errors.New("it was killed")
	shrink := func(t *testing.T, n int, torn bool) {
		node, files := made(t, "ext4")
		var b book
		o := Options{Node: node, Kind: "ext4", To: to, Record: b.record}
		at := 0
		o.before = func(_ int, c trace.Call) error {
			if at++; at == n {
				if torn {
					tear(t, node, c)
				}
				return stopped
			}
			writes = max(writes, at)
			return nil
		}
		if err := Shrink(t.Context(), o); n > 0 != errors.Is(err, stopped) {
			t.Fatalf("Shrink, killed at write %d of %d = %v", n, writes, err)
		}
		if n > 0 {
			o.before, o.Begun = nil, b.begun
			if err := Shrink(t.Context(), o); err != nil {
				t.Fatalf("Shrink, continued = %v", err)
			}
		}
		shrunk(t, node, "ext4", files)
	}
	shrink(t, 0, false)
	points := []int{1, writes / 2, writes - 3}
	if torture {
		points = nil
		for n := 1; n <= writes; n += 1 + writes/100 {
			points = append(points, n)
		}
	}
	for i, n := range points {
		for _, torn := range []bool{false, true} {
			if torture || torn == (i%2 == 1) {
				t.Run(fmt.Sprint(n, map[bool]string{true: " torn"}[torn]), func(t *testing.T) { shrink(t, n, torn) })
			}
		}
	}
}

// tear writes some sectors of what a program is about to write.
func tear(t *testing.T, node string, c trace.Call) {
	t.Helper()
	at := int64(c.Args[3])
	switch c.Number {
	case unix.SYS_PWRITE64:
	case unix.SYS_WRITE: // resize2fs changes fields of the superblock
		info, err := os.ReadFile(fmt.Sprintf("/proc/%d/fdinfo/%d", c.PID, c.Args[0]))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Sscanf(string(info), "pos: %d", &at); err != nil {
			t.Fatalf("%q has no position: %v", info, err)
		}
	default:
		t.Fatalf("the program writes by system call %d, and this test knows write and pwrite64", c.Number)
	}
	b := make([]byte, c.Args[2])
	local := []unix.Iovec{{Base: &b[0], Len: uint64(len(b))}}
	remote := []unix.RemoteIovec{{Base: uintptr(c.Args[1]), Len: len(b)}}
	if _, err := unix.ProcessVMReadv(c.PID, local, remote, 0); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(node, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for len(b) > 0 {
		n := min(len(b), 512-int(at%512)) // of this sector
		if rand.IntN(2) == 0 {
			if _, err := f.WriteAt(b[:n], at); err != nil {
				t.Fatal(err)
			}
		}
		b, at = b[n:], at+int64(n)
	}
}

// TestMountedSince has a filesystem that its system mounted after a shrink of it was interrupted: what is wrong in it
// is not corrected.
func TestMountedSince(t *testing.T) {
	node, _ := made(t, "ext4")
	s, err := superOf(node, "ext4")
	if err != nil {
		t.Fatal(err)
	}
	disktest.Tool(t, "debugfs", "-w", "-R", "set_inode_field <2> links_count 77", node)
	before := sum(t, node)
	var b book
	o := Options{Node: node, Kind: "ext4", To: to, Record: b.record, Begun: &Begun{Mounted: s.ext.mounted - 1}}
	if err := Shrink(t.Context(), o); err == nil || !strings.Contains(err.Error(), "e2fsck finds it damaged") {
		t.Errorf("Shrink = %v", err)
	}
	if sum(t, node) != before {
		t.Error("the disk was written to")
	}
}

// TestUnfit has filesystems that must not be shrunk as they are: nothing is written.
func TestUnfit(t *testing.T) {
	node, _ := made(t, "ext4")
	pool, _ := made(t, "btrfs")
	other := disktest.Loop(t, from, 512)
	for _, c := range []struct {
		name, node, kind string
		to               int64
		change           func()
		want             string
	}{
		{"too small", node, "ext4", 8 * mib, func() {}, "it cannot be shrunk to 8388608 bytes: it needs"},
		{"another kind", node, "btrfs", to, func() {}, "reading the superblock of the btrfs"},
		{"unknown", node, "xfs", to, func() {}, `a filesystem of kind "xfs" cannot be shrunk`},
		{"two devices", pool, "btrfs", to, func() {
			mounted(t, pool, func(dir string) { disktest.Tool(t, "btrfs", "device", "add", other, dir) })
		}, "it has 2 devices"},
		{"not unmounted", node, "ext4", to, func() {
			disktest.Tool(t, "debugfs", "-w", "-R", "feature needs_recovery", node)
		}, "it was not unmounted"},
		{"damaged", node, "ext4", to, func() {
			disktest.Tool(t, "debugfs", "-w", "-R", "feature -needs_recovery", node)
			disktest.Tool(t, "debugfs", "-w", "-R", "set_inode_field <2> links_count 77", node)
		}, "e2fsck finds it damaged"},
	} {
		c.change()
		before := sum(t, c.node)
		if err := Check(t.Context(), c.node, c.kind, c.to); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: Check = %v, want %q", c.name, err, c.want)
		}
		if sum(t, c.node) != before {
			t.Errorf("%s: the disk was written to", c.name)
		}
	}
}

// TestFull shrinks a btrfs to less than its data: the kernel refuses, and it is whole.
func TestFull(t *testing.T) {
	node, _ := made(t, "btrfs")
	mounted(t, node, func(dir string) {
		disktest.Tool(t, "sh", "-c", `head -c 300M /dev/urandom >"$1/large"`, "sh", dir)
	})
	files := tree(t, node)
	var b book
	err := Shrink(t.Context(), Options{Node: node, Kind: "btrfs", To: 300 * mib, Record: b.record})
	if err == nil || !strings.Contains(err.Error(), "its data does not fit into that size") {
		t.Errorf("Shrink = %v", err)
	}
	if err := Whole(t.Context(), node, "btrfs"); err != nil || !maps.Equal(tree(t, node), files) {
		t.Errorf("Whole = %v, or the files are not the same", err)
	}
}
