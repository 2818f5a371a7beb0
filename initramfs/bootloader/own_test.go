package bootloader

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"griddle/initramfs/bootloader/gap"
)

// The GRUB of an earlier install, in a BIOS boot partition that others could use too, is not another loader: it is
// replaced, it needs no second room, and the menu does not offer it. Another GRUB in the same partition is one.
func TestOwnGRUBBefore(t *testing.T) {
	dir, p := built(t), Extent{Start: 1 << 20, Size: 512 << 10}
	core, err := os.ReadFile(filepath.Join(dir, CoreImage))
	if err != nil {
		t.Fatal(err)
	}
	// Another version: the last bytes of diskboot.img's text say something else.
	boot, err := os.ReadFile(filepath.Join(dir, BootImage))
	if err != nil {
		t.Fatal(err)
	}
	older := bytes.Clone(core)
	older[200] ^= 1
	earlier := fstest.MapFS{BootImage: {Data: boot}, CoreImage: {Data: older}}
	for name, c := range map[string]struct {
		in     Extent
		spoil  func(m memory)
		others bool
	}{
		"an earlier GRUB of Griddle": {p, func(memory) {}, false},
		"where there is no room for two more": {Extent{Start: p.Start, Size: int64(len(core)+1023) / 1024 * 2048},
			func(memory) {}, false},
		"another GRUB since": {p, func(m memory) { m[p.Start+100<<10] ^= 1 }, true},
	} {
		t.Run(name, func(t *testing.T) {
			m, esp := make(memory, 4<<20), t.TempDir()
			m[bootCodeEnd], m[c.in.Start+c.in.Size] = 7, 7
			if err := InstallBIOS(m, earlier, c.in, sector); err != nil {
				t.Fatal(err)
			}
			c.spoil(m)
			before := bytes.Clone(m)
			err := CheckBIOS(m, os.DirFS(dir), c.in, sector, true)
			if c.others {
				err = errors.Join(err, ReserveBIOS(m, os.DirFS(dir), c.in))
			} else if ReserveBIOS(m, os.DirFS(dir), c.in) != nil || !bytes.Equal(m, before) {
				t.Error("room was reserved beside Griddle's own GRUB")
			}
			if err != nil && !errors.Is(err, gap.ErrNone) || err == nil && c.others != !bytes.Equal(m, before) {
				t.Fatalf("CheckBIOS and ReserveBIOS: %v", err)
			}
			if err := KeepRecord(m, c.in, esp); err != nil || (len(tree(t, esp)) > 0) != c.others {
				t.Errorf("KeepRecord: %v, it kept %d files", err, len(tree(t, esp)))
			}
			if c.others {
				return
			}
			if err := InstallBIOS(m, os.DirFS(dir), c.in, sector); err != nil {
				t.Fatal(err)
			}
			if own, err := alone(m, c.in); err != nil || !own {
				t.Errorf("after another install the partition is Griddle's: %v, %v", own, err)
			}
			if err := RemoveBIOS(m, c.in, make([]byte, sector)); err != nil || m[0] != 0 {
				t.Errorf("RemoveBIOS: %v", err)
			}
		})
	}
}
