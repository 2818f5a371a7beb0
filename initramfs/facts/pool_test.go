package facts

import (
	"errors"
	"os"
	"os/exec"
	"reflect"
	"testing"

	"griddle/initramfs/disk"
	"griddle/initramfs/disk/content"
	"griddle/initramfs/disk/disktest"
	"griddle/initramfs/subvolume"
)

// TestPool: the roots and images of a pool are listed, also while no one else may mount it, and its disk stays as it
// is.
func TestPool(t *testing.T) {
	dev := disktest.Loop(t, 700*mib, 512)
	disktest.Tool(t, "sgdisk", "-U", "5b2f0a4e-7a1c-4d3e-9f00-0123456789ab", "-n", "1:2048:+1M", "-t", "1:ef02",
		"-n", "2:0:+40M", "-t", "2:ef00", "-n", "3:0:0", "-c", "3:"+content.NameFinished, dev)
	_ = exec.Command("partx", "-u", dev).Run() // the kernel may know them already
	b := bench{T: t, disk: dev}
	esp, err := disk.Node(dev, "/sys", 2)
	if err == nil {
		b.node, err = disk.Node(dev, "/sys", 3)
	}
	if err != nil {
		t.Fatal(err)
	}
	disktest.Tool(t, "mkfs.vfat", "-F", "16", esp)
	disktest.Tool(t, "mkfs.btrfs", "-q", b.node)
	m, err := subvolume.Top(b.node)
	if err != nil {
		t.Fatal(err)
	}
	top := m.Dir()
	err = errors.Join(os.Mkdir(top+"/@roots", 0o700), os.Mkdir(top+"/@images", 0o700),
		subvolume.Create(top+"/@images", "web:1@amd64"), subvolume.SetReadOnly(top+"/@images/web:1@amd64", true),
		subvolume.Snapshot(top+"/@images/web:1@amd64", top+"/@roots", "web:1@amd64"), m.Close())
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(dev)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c, err := content.Inspect(f, 700*mib, 512)
	if err != nil || len(c.Partitions) != 3 {
		t.Fatalf("%+v, %v", c, err)
	}
	want := &content.PoolContent{Images: []string{"web:1@amd64"},
		Roots: []content.Root{{Name: "web:1@amd64", Image: "web:1@amd64"}}}
	before := b.sum()
	got := Of(t.Context(), dev, c.Partitions[2])
	if !reflect.DeepEqual(got.Pool, want) || got.Unfit != "" || got.Used == 0 {
		t.Errorf("%+v with %+v, want %+v", got, got.Pool, want)
	}
	if b.sum() != before {
		t.Error("looking has changed the disk")
	}
	b.mounted(func(string) { // by a person, for example
		if got := Of(t.Context(), dev, c.Partitions[2]); got.Pool != nil && got.Pool.Images == nil {
			t.Errorf("while it is mounted: %+v", got)
		}
	})
}
