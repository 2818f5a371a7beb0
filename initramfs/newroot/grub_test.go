package newroot

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"griddle/initramfs/bootloader"
	"griddle/initramfs/bootloader/arguments"
	"griddle/initramfs/sysroot"
)

// A root whose image was made of one with kernel arguments has those of its machine, or none of its own.
func TestArguments(t *testing.T) {
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	m := &making{Dir: sysroot.Dir{Root: root}}
	if err := arguments.Write(m.Dir, arguments.Arguments{All: []string{"of-the-image"}}); err != nil {
		t.Fatal(err)
	}
	if err := m.arguments(); err != nil {
		t.Fatal(err)
	}
	if a, err := arguments.Read(m.Dir); a != nil || err != nil {
		t.Errorf("the root has the arguments %+v, %v", a, err)
	}
	m.Arguments = &arguments.Arguments{All: []string{"a", `b="c d"`}, Job: []string{"a"}}
	if err := m.arguments(); err != nil {
		t.Fatal(err)
	}
	a, err := arguments.Read(m.Dir)
	if err != nil || a == nil || !slices.Equal(a.All, []string{"a", "b=c d"}) || !slices.Equal(a.Job, []string{"a"}) {
		t.Errorf("the root has the arguments %+v, %v", a, err)
	}
}

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
