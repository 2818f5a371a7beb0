package pool

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"griddle/appliance/job"
	"griddle/initramfs/bootloader"
	"griddle/initramfs/bootloader/gap"
	"griddle/initramfs/pool/pooltest"
)

// GRUB is installed again on a damaged disk; the pool stays, and so does what boots. Without grub.cfg the newest root
// with a kernel boots.
func TestBootloader(t *testing.T) {
	p, _ := installed(t)
	dev := loop(t, 8<<20)
	p.place.Disk, p.place.SectorSize, p.place.BIOS = dev, 512, Extent{1 << 20, 1 << 20}
	images := t.TempDir()
	if err := bootloader.BuildGRUB(t.Context(), images, bootloader.BuildOptions{}); err != nil {
		t.Fatal(err)
	}
	before := pooltest.Tree(t, p.dir)
	conf, err := bootloader.ReadConfig(p.esp)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Bootloader(os.DirFS(images), true); err != nil {
		t.Fatal(err)
	}
	now, err := bootloader.ReadConfig(p.esp)
	if err != nil || now.Root != conf.Root || !slices.Equal(now.Args, conf.Args) {
		t.Errorf("grub.cfg = %+v, %v, want %+v", now, err, conf)
	}
	sector := make([]byte, 512)
	f, err := os.Open(dev)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.ReadAt(sector, 0); err != nil || !bytes.Contains(sector, []byte("GRUB ")) || sector[446] != 0x80 {
		t.Errorf("the boot sector has no GRUB, or is not active: %v", err)
	}
	if efi, err := os.ReadFile(filepath.Join(p.esp, "EFI/BOOT/BOOTX64.EFI")); err != nil ||
		!bytes.Contains(efi, []byte(job.ESPLabel(pooltest.Job))) {
		t.Errorf("the image for UEFI does not name its partition: %v", err)
	}
	if pooltest.Tree(t, p.dir) != before {
		t.Error("the pool has changed")
	}

	if err := os.RemoveAll(filepath.Join(p.esp, "griddle")); err != nil {
		t.Fatal(err)
	}
	if err := p.Bootloader(os.DirFS(images), false); err != nil {
		t.Fatal(err)
	}
	if c, err := p.Read(); err != nil || c.Boots != "two@amd64" && c.Boots != "one@amd64" || c.Good != c.Boots {
		t.Errorf("after a new grub.cfg %q boots, %v", c.Boots, c.NoBoots)
	}
	if now, err := bootloader.ReadConfig(p.esp); err != nil || now.PoolID != poolID {
		t.Errorf("grub.cfg = %+v, %v", now, err)
	}
}

// On a partition that is shared GRUB is installed beside the files of others, also if grub.cfg is lost.
func TestBootloaderOnSharedESP(t *testing.T) {
	p, _ := installed(t)
	dev := loop(t, 64<<20)
	p.place.Disk, p.place.SectorSize, p.place.BIOS = dev, 512, Extent{1 << 20, 1 << 20}
	p.place.Shared, p.place.ESPID = true, "7A3C-11F0"
	images := t.TempDir()
	if err := bootloader.BuildGRUB(t.Context(), images, bootloader.BuildOptions{}); err != nil {
		t.Fatal(err)
	}
	windows := filepath.Join(p.esp, bootloader.Fallback)
	if err := errors.Join(os.MkdirAll(filepath.Dir(windows), 0o755),
		os.WriteFile(windows, []byte("of Windows"), 0o644)); err != nil {
		t.Fatal(err)
	}
	for _, lost := range []bool{false, true} {
		if lost {
			if err := os.Remove(filepath.Join(p.esp, "griddle/grub.cfg")); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.Bootloader(os.DirFS(images), false); err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(windows); err != nil || string(b) != "of Windows" {
			t.Errorf("the file of Windows is %q, %v", b[:min(len(b), 20)], err)
		}
		if b, err := os.ReadFile(filepath.Join(p.esp, bootloader.Loader)); err != nil ||
			!bytes.Contains(b, []byte("search.fs_uuid 7A3C-11F0 ")) {
			t.Errorf("the image for UEFI does not name its partition: %v", err)
		}
		if conf, err := bootloader.ReadConfig(p.esp); err != nil || !conf.Shared {
			t.Errorf("grub.cfg does not say that the partition is shared: %v", err)
		}
	}
	// A disk without room for GRUB for BIOS starts by UEFI; a machine with a BIOS has to know that.
	p.place.BIOS = Extent{}
	if err := p.Bootloader(os.DirFS(images), false); err != nil {
		t.Errorf("Bootloader without a BIOS boot partition = %v", err)
	}
	if err := p.Bootloader(os.DirFS(images), true); !errors.Is(err, gap.ErrNone) {
		t.Errorf("Bootloader without a BIOS boot partition, on a BIOS = %v", err)
	}
}

// Without grub.cfg what boots stays, if grubenv or a marker says it.
func TestBootloaderWithoutConfig(t *testing.T) {
	p, _ := installed(t)
	dev := loop(t, 8<<20)
	p.place.Disk, p.place.SectorSize, p.place.BIOS = dev, 512, Extent{1 << 20, 1 << 20}
	images := t.TempDir()
	if err := bootloader.BuildGRUB(t.Context(), images, bootloader.BuildOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, lost := range []string{"grub.cfg", "grub*"} {
		for _, good := range []string{"one@amd64", "two@amd64"} {
			if err := p.Bless(good); err != nil {
				t.Fatal(err)
			}
			past := time.Now().Add(-time.Hour)
			for _, other := range []string{"one@amd64", "two@amd64"} {
				if other != good {
					_ = os.Chtimes(filepath.Join(p.dir, roots, other, Marker), past, past)
				}
			}
			files, err := filepath.Glob(filepath.Join(p.esp, "griddle", lost))
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range files {
				if err := os.Remove(f); err != nil {
					t.Fatal(err)
				}
			}
			if err := p.Bootloader(os.DirFS(images), false); err != nil {
				t.Fatal(err)
			}
			if c, err := p.Read(); err != nil || c.Boots != good || c.Good != good {
				t.Errorf("without %s and after %s was blessed, %q boots, %v", lost, good, c.Boots, c.NoBoots)
			}
		}
	}
}

// A switch gives an installed machine the script of this version, and leaves one of a later version alone.
func TestSwitchBringsScript(t *testing.T) {
	p, _ := installed(t)
	file := filepath.Join(p.esp, "griddle/grub.cfg")
	now, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	line := fmt.Sprintf("# Its script is number %d.\n", bootloader.Script)
	for name, c := range map[string]struct{ has, want string }{
		"none": {strings.Replace(string(now), line, "", 1), string(now)},
		"earlier": {strings.Replace(string(now), line, "# Its script is number 0.\n", 1) + "echo earlier\n",
			string(now)},
		"this": {string(now) + "echo this\n", string(now) + "echo this\n"},
		"later": {strings.Replace(string(now), line, "# Its script is number 1000.\n", 1),
			strings.Replace(string(now), line, "# Its script is number 1000.\n", 1)},
	} {
		if err := os.WriteFile(file, []byte(c.has), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := p.Switch("two@amd64"); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(file); err != nil || string(got) != c.want {
			t.Errorf("%s: grub.cfg is %s, %v, want %s", name, got, err, c.want)
		}
	}
}
