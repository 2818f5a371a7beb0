package bootloader

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"griddle/initramfs/bootloader/gap"
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

// oursOf are images of GRUB with a boot.img like the real one; all of core.img is b.
func oursOf(b byte, size int) fstest.MapFS {
	images := grub(b, size)
	copy(images[BootImage].Data, "\xeb\x63\x90")
	return images
}

// shared is a disk with an MBR on which another loader is in the gap, and the gap or partition that it is in.
func shared(at Extent, used int64) memory {
	m := make(memory, at.Start+at.Size+64<<10)
	for i := range m {
		m[i] = byte(i*7) | 1
	}
	m[510], m[511] = 0x55, 0xaa
	clear(m[at.Start+used : at.Start+at.Size])
	return m
}

// boots is the byte of the core.img that the boot record starts, if it is ours and whole; else 0.
func boots(m memory, sizes map[byte]int) byte {
	if m[0] != 0xeb {
		return 0
	}
	at := binary.LittleEndian.Uint64(m[bootKernelSector:]) * sector
	if at+sector > uint64(len(m)) {
		return 0
	}
	b := m[at]
	core := bytes.Repeat([]byte{b}, sizes[b])
	copy(core[blocklist:], m[at+blocklist:at+sector])
	if sizes[b] == 0 || !bytes.Equal(m[at:at+uint64(sizes[b])], core) {
		return 0
	}
	return b
}

// In the gap of an MBR, and in a BIOS boot partition that is shared, another loader stays whole and starts by its own
// record: whatever is installed after each other, wherever the power is cut. In the end all can be as it was.
func TestInstallBIOSBesideOthers(t *testing.T) {
	sizes := map[byte]int{3: 50 << 10, 4: 40 << 10}
	r := rand.New(rand.NewPCG(1, 2))
	for name, at := range map[string]Extent{"gap": {Start: 512, Size: 256<<10 - 512},
		"partition": {Start: 256 << 10, Size: 256 << 10}} {
		const used = 20 << 10 // of another loader
		m, esp := shared(at, used), t.TempDir()
		before := bytes.Clone(m)
		others := func(step string, m memory) {
			t.Helper()
			if !bytes.Equal(m[bootCodeEnd:at.Start+used], before[bootCodeEnd:at.Start+used]) ||
				!bytes.Equal(m[at.Start+at.Size:], before[at.Start+at.Size:]) {
				t.Fatalf("%s, %s: bytes of others have changed", name, step)
			}
		}
		record := func(step string) {
			t.Helper()
			if err := KeepRecord(m, at, esp); err != nil {
				t.Fatal(err)
			}
			if b, err := os.ReadFile(filepath.Join(esp, FormerRecord)); err != nil || !bytes.Equal(b, before[:sector]) {
				t.Fatalf("%s, %s: the record that was kept is not the one before (%v)", name, step, err)
			}
		}
		if err := CheckBIOS(m, oursOf(3, sizes[3]), at, sector, true); err != nil {
			t.Fatal(err)
		}
		for i, image := range []byte{3, 4, 3} {
			images := oursOf(image, sizes[image])
			install := func(d Disk) error {
				if name == "partition" {
					if err := ReserveBIOS(d, images, at); err != nil {
						return err
					}
				}
				return InstallBIOS(d, images, at, sector)
			}
			old := boots(m, sizes)
			for cut := 0; ; cut++ {
				p := &power{memory: bytes.Clone(m), durable: m, left: cut}
				if err := install(p); err == nil {
					break
				} else if !errors.Is(err, errPower) {
					t.Fatal(err)
				}
				for range 8 {
					back := p.after(r)
					others("after a cut", back)
					if got := boots(back, sizes); got != old && got != image ||
						got == 0 && !bytes.Equal(back[:sector], before[:sector]) {
						t.Fatalf("%s: cut before operation %d the disk starts %d, want %d or %d", name, cut, got, old,
							image)
					}
					if err := install(back); err != nil || boots(back, sizes) != image {
						t.Fatalf("%s: installed again after a cut: %v, it starts %d", name, err, boots(back, sizes))
					}
				}
			}
			if i == 0 {
				record("before the install")
			}
			if err := install(m); err != nil || boots(m, sizes) != image {
				t.Fatalf("%s: %v, it starts %d, want %d", name, err, boots(m, sizes), image)
			}
			others("installed", m)
			record("installed")
		}
		for cut := 0; ; cut++ {
			p := &power{memory: bytes.Clone(m), durable: m, left: cut}
			if err := RemoveBIOS(p, at, before[:sector]); err == nil {
				break
			} else if !errors.Is(err, errPower) {
				t.Fatal(err)
			}
			for range 8 {
				back := p.after(r)
				if got := boots(back, sizes); got != 3 && !bytes.Equal(back[:sector], before[:sector]) {
					t.Fatalf("%s: removal cut before operation %d: the disk starts %d", name, cut, got)
				}
				if err := RemoveBIOS(back, at, before[:sector]); err != nil || !bytes.Equal(back, before) {
					t.Fatalf("%s: removed again after a cut: %v, and the disk is as before: %v", name, err,
						bytes.Equal(back, before))
				}
			}
		}
	}
}

// A gap without room is refused before anything is written, and so is a record of another disk.
func TestBIOSBesideOthersRefuses(t *testing.T) {
	at, images := Extent{Start: 512, Size: 256<<10 - 512}, oursOf(3, 50<<10)
	m := shared(at, 210<<10)
	before := bytes.Clone(m)
	for name, err := range map[string]error{
		"CheckBIOS":   CheckBIOS(m, images, at, sector, false),
		"ReserveBIOS": ReserveBIOS(m, images, at),
		"InstallBIOS": InstallBIOS(m, images, at, sector),
	} {
		if !errors.Is(err, gap.ErrNone) {
			t.Errorf("%s without room = %v", name, err)
		}
	}
	if err := CheckBIOS(m, images, at, 4096, false); !errors.Is(err, ErrSectorSize) {
		t.Errorf("CheckBIOS with sectors of 4096 bytes = %v", err)
	}
	if err := RemoveBIOS(m, at, make([]byte, 100)); err == nil {
		t.Error("RemoveBIOS took a record of 100 bytes")
	}
	if err := RemoveBIOS(m, at, make([]byte, sector)); err != nil { // not ours: it stays
		t.Error(err)
	}
	if !bytes.Equal(m, before) {
		t.Error("the disk has changed")
	}
	esp := t.TempDir()
	if err := KeepRecord(make(memory, 1<<20), at, esp); err != nil || len(tree(t, esp)) > 0 {
		t.Errorf("a record without a program: %v, %v", err, tree(t, esp))
	}
}
