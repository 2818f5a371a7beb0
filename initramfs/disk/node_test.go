package disk

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"griddle/initramfs/disk/disktest"

	"golang.org/x/sys/unix"
)

// TestNode: a partition has the device file that the kernel says, on each kind of disk.
func TestNode(t *testing.T) {
	for name, part := range map[string]string{"sda": "sda3", "vda": "vda3", "nvme0n1": "nvme0n1p3",
		"mmcblk0": "mmcblk0p3", "loop7": "loop7p3", "md127": "md127p3"} {
		sys, dev := t.TempDir(), t.TempDir()
		path := filepath.Join(dev, name)
		node, err := Node(path, sys, 3)
		if err == nil || !strings.Contains(err.Error(), "the kernel does not know it") {
			t.Errorf("Node without a partition = %q, %v", node, err)
		}
		dir := filepath.Join(sys, "block", name, part)
		if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "dev"), []byte("259:7\n"),
			0o600)); err != nil {
			t.Fatal(err)
		}
		want := filepath.Join(dev, part)
		for range 2 { // it is made, and then it is there
			if node, err := Node(path, sys, 3); err != nil || node != want {
				t.Errorf("Node = %q, %v, want %q", node, err, want)
			}
		}
		var st unix.Stat_t
		if err := unix.Stat(want, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFBLK ||
			st.Rdev != unix.Mkdev(259, 7) {
			t.Errorf("%s has the mode %o and the device %d, %v", part, st.Mode, st.Rdev, err)
		}
		// A name that another device has is not taken for it.
		if err := os.WriteFile(filepath.Join(dir, "dev"), []byte("259:8\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if node, err := Node(path, sys, 3); err == nil || !strings.Contains(err.Error(), "is something else") {
			t.Errorf("Node, where another device has the name = %q, %v", node, err)
		}
	}
}

func TestClaimRefusesDiskInUse(t *testing.T) {
	dev := disktest.Loop(t, 64<<20, 512)
	disktest.Tool(t, "mkfs.ext4", "-q", dev)
	dir := t.TempDir()
	disktest.Tool(t, "mount", dev, dir)
	defer disktest.Tool(t, "umount", dir)
	if f, err := Claim(dev); err == nil {
		f.Close()
		t.Error("Claim of a mounted disk = nil, want an error")
	} else if !strings.Contains(err.Error(), "in use") {
		t.Errorf("Claim = %v, want one that says in use", err)
	}
}
