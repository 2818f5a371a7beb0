package disk

import (
	"strings"
	"testing"

	"griddle/initramfs/disk/disktest"
)

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
