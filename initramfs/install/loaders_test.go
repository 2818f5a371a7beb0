package install

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"griddle/appliance/job"
	"griddle/appliance/layout"
	"griddle/appliance/layout/plan"
	"griddle/initramfs/bootloader"
	"griddle/initramfs/bootloader/gap"
	"griddle/initramfs/divide"
)

// beside is an install for a BIOS on a disk whose loader stays: GRUB's of another Linux in a BIOS boot partition, or a
// boot record in front of the gap of an MBR. used is how much of that the other loader has.
func beside(t *testing.T, table string, used int) (w *work, dev, esp string) {
	t.Helper()
	const mib = 1 << 20
	b := bytes.Repeat([]byte{7}, 4*mib)
	b[510], b[511] = 0x55, 0xaa
	at := divide.Extent{Start: 512, Size: mib - 512}
	stays := plan.Part{Number: 1, Start: mib, Size: mib, Use: layout.BIOS, Type: "BIOS boot", Fate: plan.Stays}
	if table == layout.MBR {
		stays.Use, stays.Type = "", "NTFS or exFAT"
	} else {
		at = divide.Extent{Start: mib, Size: mib}
	}
	clear(b[int(at.Start)+used : at.Start+at.Size])
	dev, esp = filepath.Join(t.TempDir(), "disk"), t.TempDir()
	if err := os.WriteFile(dev, b, 0o600); err != nil {
		t.Fatal(err)
	}
	w = &work{report: &journal{}, o: options(t), target: job.Disk{Path: dev, Size: 4 * mib, SectorSize: 512}}
	w.o.BIOS = true
	w.disks = []job.Disk{w.target}
	w.divided = &divided{plan: plan.Plan{Disks: []plan.Disk{{Identity: plan.Identity{Table: table, Size: 4 * mib,
		SectorSize: 512},
		After: []plan.Part{stays, {Number: 2, Start: 2 * mib, Size: mib, Use: layout.Pool, Fate: plan.Made}}}}}}
	w.parts.bios, w.parts.espDir = at, esp
	return w, dev, esp
}

// Another loader stays whole, and the menu can start it; one that leaves no room is refused before anything is written.
func TestBesideLoaders(t *testing.T) {
	for _, table := range []string{layout.GPT, layout.MBR} {
		w, dev, esp := beside(t, table, 100<<10)
		before, err := os.ReadFile(dev)
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(dev, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		at := bootloader.Extent{Start: w.parts.bios.Start, Size: w.parts.bios.Size}
		for range 2 {
			if err := errors.Join(w.startsHere(), w.besideLoaders(f, w.halves()[0], at)); err != nil {
				t.Fatal(err)
			}
			if err := bootloader.InstallBIOS(f, os.DirFS(w.o.GRUB), at, 512); err != nil {
				t.Fatal(err)
			}
			after, err := os.ReadFile(dev)
			theirs := at.Start + 100<<10
			if err != nil || !bytes.Equal(after[440:theirs], before[440:theirs]) ||
				!bytes.Equal(after[at.Start+at.Size:], before[at.Start+at.Size:]) || bytes.Equal(after, before) {
				t.Errorf("%s: bytes of others have changed, or GRUB is missing (%v)", table, err)
			}
			if b, err := os.ReadFile(filepath.Join(esp, bootloader.FormerRecord)); err != nil ||
				!bytes.Equal(b, before[:512]) {
				t.Errorf("%s: the boot record was not kept: %v", table, err)
			}
		}
		w, dev, _ = beside(t, table, 900<<10)
		if before, err = os.ReadFile(dev); err != nil {
			t.Fatal(err)
		}
		if err := w.startsHere(); !errors.Is(err, ErrRefused) || !errors.Is(err, gap.ErrNone) {
			t.Errorf("%s without room: %v", table, err)
		}
		if after, err := os.ReadFile(dev); err != nil || !bytes.Equal(after, before) {
			t.Errorf("%s without room: the disk has changed (%v)", table, err)
		}
	}
}
