package newroot

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"griddle/initramfs/bootloader"
	"griddle/initramfs/sysroot"
)

// A root whose image was made of one that proved itself has to prove itself.
func TestUnproved(t *testing.T) {
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	m := &making{Dir: sysroot.Dir{Root: root}}
	for _, there := range []bool{true, false} {
		if there {
			if err := os.WriteFile(filepath.Join(dir, bootloader.Marker), nil, 0o444); err != nil {
				t.Fatal(err)
			}
		}
		if err := m.unproved(); err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(filepath.Join(dir, bootloader.Marker)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the marker is still there: %v", err)
		}
	}
}
