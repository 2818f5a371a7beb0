package bootloader

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// memory is a disk in memory.
type memory []byte

func (m memory) ReadAt(p []byte, off int64) (int, error)  { return copy(p, m[off:]), nil }
func (m memory) WriteAt(p []byte, off int64) (int, error) { return copy(m[off:], p), nil }

func TestInstallBIOSKeepsTheRestOfTheDisk(t *testing.T) {
	dir := built(t)
	disk := make(memory, 4<<20)
	for i := range disk {
		disk[i] = byte(i * 7)
	}
	before := bytes.Clone(disk)
	part := Extent{Start: 1 << 20, Size: 1 << 20}
	if err := InstallBIOS(disk, os.DirFS(dir), part, 512); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(disk[bootCodeEnd:510], before[bootCodeEnd:510]) {
		t.Error("disk signature or partition entries changed")
	}
	if !bytes.Equal(disk[512:part.Start], before[512:part.Start]) ||
		!bytes.Equal(disk[part.Start+part.Size:], before[part.Start+part.Size:]) {
		t.Error("bytes outside the boot sector and the partition changed")
	}
	if got := binary.LittleEndian.Uint64(disk[0x5c:]); got != 2048 {
		t.Errorf("boot.img looks for core.img in sector %d, want 2048", got)
	}
	if disk[510] != 0x55 || disk[511] != 0xaa {
		t.Error("boot sector has no 55 aa")
	}
	core, err := os.ReadFile(filepath.Join(dir, CoreImage))
	if err != nil {
		t.Fatal(err)
	}
	sectors := (len(core) + 511) / 512
	head := disk[part.Start:]
	if got := binary.LittleEndian.Uint64(head[500:]); got != 2049 {
		t.Errorf("diskboot.img's list starts at sector %d, want 2049", got)
	}
	if got := binary.LittleEndian.Uint16(head[508:]); int(got) != sectors-1 {
		t.Errorf("diskboot.img's list has %d sectors, want %d", got, sectors-1)
	}
	if got := binary.LittleEndian.Uint16(head[510:]); got != 0x820 {
		t.Errorf("diskboot.img loads to segment %#x, want 0x820", got)
	}
	if !bytes.Equal(head[512:len(core)], core[512:]) {
		t.Error("core.img after its first sector is not as built")
	}
}

func TestInstallBIOSRefuses(t *testing.T) {
	dir := built(t)
	good := Extent{Start: 1 << 20, Size: 1 << 20}
	for _, c := range []struct {
		name   string
		part   Extent
		sector int
		boot   []byte
		is     error
	}{
		{name: "4K sectors", part: good, sector: 4096, is: ErrSectorSize},
		{name: "partition too small", part: Extent{Start: 1 << 20, Size: 64 << 10}, sector: 512},
		{name: "partition between sectors", part: Extent{Start: 1<<20 + 1, Size: 1 << 20}, sector: 512},
		{name: "partition at the boot sector", part: Extent{Size: 1 << 20}, sector: 512},
		{name: "boot.img of something else", part: good, sector: 512, boot: make([]byte, 512)},
	} {
		t.Run(c.name, func(t *testing.T) {
			images := t.TempDir()
			if err := os.CopyFS(images, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			if c.boot != nil {
				if err := os.WriteFile(filepath.Join(images, BootImage), c.boot, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			disk := make(memory, 4<<20)
			err := InstallBIOS(disk, os.DirFS(images), c.part, c.sector)
			if err == nil || c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("InstallBIOS = %v, want an error that is %v", err, c.is)
			}
			if !bytes.Equal(disk, make(memory, 4<<20)) {
				t.Error("the disk was written")
			}
		})
	}
}
