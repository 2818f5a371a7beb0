package pooltest

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"griddle/initramfs/bootloader"
	"griddle/initramfs/bootloader/former"
	"griddle/initramfs/nvram"
)

// Beside is a pool on a machine that had another system before: as no machine does, it started by a boot record and by
// UEFI.
type Beside struct {
	Made
	Disk string // device file of the disk with the boot record
	BIOS bootloader.Extent
	Vars string // a folder with the variables of UEFI
}

// Others gives a pool a disk of its own with another loader, keeps what the machine starts by, and installs GRUB.
func Others(t testing.TB, p Made) Beside {
	t.Helper()
	b := Beside{Made: p, Disk: Loop(t, 4<<20), BIOS: bootloader.Extent{Start: 512, Size: 1<<20 - 512},
		Vars: t.TempDir()}
	loader := nvram.Loader{Title: "Windows Boot Manager", File: "EFI/Microsoft/Boot/bootmgfw.efi", Partition: 1,
		Start: 1 << 20, Size: 100 << 20, SectorSize: 512, GUID: "7d13f5c0-8f5e-4f0c-9e0c-0a1b2c3d4e5f"}
	m := former.Machine{ESP: t.TempDir(), Vars: nvram.In(b.Vars), BIOS: b.BIOS}
	Put(t, m.ESP, map[string]string{loader.File: "the loader of Windows"})
	Put(t, p.ESP, map[string]string{loader.File: "the loader of Windows"})
	disk, err := os.OpenFile(b.Disk, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	m.Disk = disk
	record := make([]byte, 512)
	copy(record, "the program of the boot record")
	record[510], record[511] = 0x55, 0xaa
	if _, err := disk.WriteAt(record, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Vars.Add(loader); err != nil {
		t.Fatal(err)
	}
	if err := former.Save(filepath.Join(p.Top, "@persistent/griddle/former"), m); err != nil {
		t.Fatal(err)
	}
	loader.Title, loader.File = "Griddle", bootloader.Loader
	_, err = m.Vars.Add(loader)
	boot := make([]byte, 512)
	copy(boot, "\xeb\x63\x90")
	boot[0x66] = 0xeb
	images := fstest.MapFS{bootloader.BootImage: {Data: boot}, bootloader.CoreImage: {Data: make([]byte, 20<<10)}}
	if err := errors.Join(err, bootloader.InstallBIOS(disk, images, b.BIOS, 512)); err != nil {
		t.Fatal(err)
	}
	return b
}
