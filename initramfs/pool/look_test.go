package pool

import (
	"errors"
	"os"
	"testing"

	"griddle/initramfs/bootloader"
	"griddle/initramfs/bootloader/bootenv"
	"griddle/initramfs/pool/pooltest"
	"griddle/initramfs/subvolume"
)

// TestLook: what a pool has is listed, and not a byte of its disk changes.
func TestLook(t *testing.T) {
	dev, esp := pooltest.Loop(t, 512<<20), t.TempDir()
	pooltest.Tool(t, "mkfs.btrfs", "--quiet", "--force", dev)
	m, err := subvolume.Top(dev)
	if err != nil {
		t.Fatal(err)
	}
	top := m.Dir()
	err = errors.Join(os.Mkdir(top+"/@roots", 0o700), os.Mkdir(top+"/@images", 0o700),
		subvolume.Create(top+"/@images", "one@amd64"))
	pooltest.Put(t, top+"/@images/one@amd64", map[string]string{"boot/vmlinuz-6.1.0": "a kernel"})
	err = errors.Join(err, subvolume.SetReadOnly(top+"/@images/one@amd64", true),
		subvolume.Snapshot(top+"/@images/one@amd64", top+"/@roots", "one@amd64"),
		subvolume.Snapshot(top+"/@images/one@amd64", top+"/@roots", "two@amd64"),
		bootenv.Write(esp, bootenv.Env{Good: "two@amd64"}),
		bootloader.WriteConfig(esp, bootloader.Config{ESP: "GR-1B4E28BA",
			PoolID: "4fa5f1d2-7c1e-4b5c-9d0e-3a1b2c4d5e6f", Root: "@roots/one@amd64"}),
		m.Close())
	if err != nil {
		t.Fatal(err)
	}
	sum := func() string {
		pooltest.Tool(t, "blockdev", "--flushbufs", dev)
		return pooltest.Tool(t, "sha256sum", dev)
	}
	before := sum()
	c, err := Look(Place{Pool: dev, ESP: esp})
	if err != nil || len(c.Roots) != 2 || len(c.Images) != 1 || c.Boots != "two@amd64" {
		t.Errorf("Look = %+v, %v", c, err)
	}
	for _, r := range c.Roots {
		if r.Image != "one@amd64" || !r.Kernel || r.InUse {
			t.Errorf("root %+v", r)
		}
	}
	if c, err := Look(Place{Pool: dev, ESP: "/dev/null"}); err != nil || len(c.Roots) != 2 || c.NoBoots == nil {
		t.Errorf("without an ESP: Look = %+v, %v", c, err)
	}
	if sum() != before {
		t.Error("looking has changed the disk")
	}
	if _, err := Look(Place{Pool: "/dev/null", ESP: esp}); err == nil {
		t.Error("/dev/null is a pool")
	}
}
