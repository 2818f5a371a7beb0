package newroot

import (
	"os"
	"path/filepath"
	"testing"

	"griddle/appliance/setting"
	"griddle/initramfs/pool/pooltest"
	"griddle/initramfs/subvolume"
	"griddle/initramfs/swapfile"
	"griddle/initramfs/sysroot"
)

// TestSwapIsWhole: what a stopped run left is not taken for the swap, and the next one makes a whole one.
func TestSwapIsWhole(t *testing.T) {
	dev := pooltest.Loop(t, 256<<20)
	pooltest.Tool(t, "mkfs.btrfs", "-q", dev)
	top, err := subvolume.Top(dev)
	if err != nil {
		t.Fatal(err)
	}
	defer top.Close()
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	swap := func(size int64) error {
		m := &making{Dir: sysroot.Dir{Root: root},
			Options: Options{Top: top.Dir(), Settings: &setting.Settings{Swap: setting.Size(size)}}}
		return m.swap()
	}
	at, aside := filepath.Join(top.Dir(), swapfile.Subvolume), filepath.Join(top.Dir(), ".new-"+swapfile.Subvolume)
	if err := swap(1 << 30); err == nil {
		t.Error("a swap file that is larger than the disk was made")
	}
	if _, err := os.Lstat(at); !os.IsNotExist(err) {
		t.Errorf("after that there is %s: %v", at, err)
	}
	// The power fails before the file is whole.
	pooltest.Put(t, aside, map[string]string{"swapfile.new": "half"})
	for range 2 {
		if err := swap(16 << 20); err != nil {
			t.Fatal(err)
		}
		if st, err := os.Stat(filepath.Join(at, "swapfile")); err != nil || st.Size() != 16<<20 {
			t.Errorf("the swap file is %v, %v", st, err)
		}
		if _, err := os.Lstat(aside); !os.IsNotExist(err) {
			t.Errorf("%s is still there: %v", aside, err)
		}
	}
}
