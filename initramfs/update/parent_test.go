package update_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"griddle/appliance/job"
	"griddle/initramfs/pool"
	"griddle/initramfs/pool/pooltest"

	"golang.org/x/sys/unix"
)

// An image that is damaged in the pool harms what is received as the difference from it. It stops one update, not all.
func TestDamagedParent(t *testing.T) {
	one, two := versions(t)
	m := installed(t, pooltest.Loop(t, 1<<30), one)
	before := m.kept(t)
	m.with(t, func(p *pool.Pool) {
		damage(t, filepath.Join(p.Dir(), "@images", oneRoot), "usr/lib/big")
	})
	if _, err := m.update(t.Context(), t, two); err == nil || !strings.Contains(err.Error(), "usr/lib/big") {
		t.Fatalf("Run from a damaged image = %v", err)
	}
	const want = "the image " + oneRoot + ", which web:20261120.2@amd64 starts from, may be damaged and is deleted: " +
		"the next update receives a whole image"
	if !slices.ContainsFunc(m.seen, func(e job.Event) bool { return strings.HasPrefix(e.Message, want) }) {
		t.Errorf("no event says %q: %+v", want, m.seen)
	}
	if c := m.contents(t); len(c.Images) != 0 || len(c.Roots) != 1 || c.Boots != oneRoot {
		t.Errorf("the pool is %+v", c)
	}
	if m.kept(t) != before {
		t.Error("the old root, @home or @persistent has changed")
	}
	if r, err := m.update(t.Context(), t, two); err != nil || r.Root != twoRoot {
		t.Fatalf("the next Run = %+v, %v", r, err)
	}
	if got := m.read(t, "@roots/"+twoRoot+"/etc/hostname"); got != "lab-7\n" {
		t.Errorf("the hostname is %q", got)
	}
}

// damage changes a byte in an image, which stays one as received.
func damage(t *testing.T, image, name string) {
	t.Helper()
	dir, err := os.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	const setFlags, readOnly = 0x4008941a, 1 << 1 // BTRFS_IOC_SUBVOL_SETFLAGS, BTRFS_SUBVOL_RDONLY
	set := func(flags uint64) {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, dir.Fd(), setFlags, uintptr(unsafe.Pointer(&flags)))
		if errno != 0 {
			t.Fatal(errno)
		}
	}
	set(0)
	f, err := os.OpenFile(filepath.Join(image, name), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt([]byte("y"), 4096)
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	set(readOnly)
}
