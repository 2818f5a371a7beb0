package install

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"griddle/appliance/job"
	"griddle/initramfs/disk"
	"griddle/initramfs/disk/disktest"
	"griddle/initramfs/pool"
)

// TestKeepAfterDeadAgent: an agent that was killed while it made a root in the pool left that mounted, with what is
// mounted in it. Neither the same job nor one that erases the disk stops at it.
func TestKeepAfterDeadAgent(t *testing.T) {
	img, o := small(t, nil), options(t)
	dev := disktest.Loop(t, 1<<30, 512)
	erasing := o
	esp := filepath.Join(t.TempDir(), "esp")
	o.MountESP = func(_, dir string) (func() error, error) {
		return func() error { return os.Rename(dir, esp) }, nil
	}
	o.Place = func(path string) (pool.Place, error) {
		p, err := pool.On(path)
		p.ESP = esp
		return p, err
	}
	run := func(n int, erase string, o Options) error {
		s := spec(dev)
		s.ID, s.Erase = string(rune('0'+n))+jobID[1:], erase
		return Run(t.Context(), s, img, []job.Disk{found(t, dev, "D1")}, &journal{}, o)
	}
	if err := run(0, "", o); err != nil {
		t.Fatal(err)
	}
	node, err := disk.Node(dev, "/sys", 3)
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(o.Mount, "root")
	places := []string{root, filepath.Join(root, "home"), filepath.Join(root, "persistent")}
	leave := func() {
		t.Helper()
		for _, dir := range places {
			if err := os.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			disktest.Tool(t, "mount", "-o", "subvolid=5", node, dir)
		}
		f, err := disk.Claim(dev)
		if err == nil {
			t.Error("the disk is not in use")
			f.Close()
		}
	}
	t.Cleanup(func() {
		for _, dir := range slices.Backward(places) {
			_ = exec.Command("umount", "-q", dir).Run()
		}
	})
	leave()
	if err := run(1, "", o); err != nil {
		t.Errorf("Run with a root still mounted = %v", err)
	}
	leave()
	if err := run(2, "D1", erasing); err != nil {
		t.Errorf("Run that erases, with a root still mounted = %v", err)
	}
}
