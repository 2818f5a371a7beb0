package bootloader

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"
	"testing/fstest"
)

// power is a disk whose power is cut before one of its operations: it has durable bytes, and writes that are not
// durable yet.
type power struct {
	memory
	durable memory
	pending []pending
	left    int // operations until the cut
	writes  int
}

type pending struct {
	at int64
	b  []byte
}

var errPower = errors.New("no power")

func (p *power) WriteAt(b []byte, at int64) (int, error) {
	p.writes++
	p.pending = append(p.pending, pending{at, bytes.Clone(b)})
	if p.left--; p.left < 0 {
		return 0, errPower
	}
	return p.memory.WriteAt(b, at)
}

func (p *power) Sync() error {
	if p.left--; p.left < 0 {
		return errPower
	}
	p.durable, p.pending = bytes.Clone(p.memory), nil
	return nil
}

// after is what the disk may have when the power is back: of what was not durable each sector was written or not.
func (p *power) after(r *rand.Rand) memory {
	m := memory(bytes.Clone(p.durable))
	percent := r.IntN(101)
	for _, w := range p.pending {
		for at := 0; at < len(w.b); at += sector {
			if r.IntN(100) < percent {
				copy(m[w.at+int64(at):], w.b[at:at+sector])
			}
		}
	}
	return m
}

// grub are images of GRUB in which all bytes of core.img are b, but for the list of blocks.
func grub(b byte, size int) fstest.MapFS {
	boot, core := bytes.Repeat([]byte{b}, sector), bytes.Repeat([]byte{b}, size)
	boot[bootDriveCheck] = 0xeb
	return fstest.MapFS{BootImage: {Data: boot}, CoreImage: {Data: core}}
}

// starts is the byte of the core.img that the disk starts, or 0 if that is not whole; at is its first sector.
func starts(t *testing.T, m memory, sizes map[byte]int) (b byte, at uint64) {
	t.Helper()
	at = binary.LittleEndian.Uint64(m[bootKernelSector:])
	head := m[at*sector:]
	b = m[0]
	n := uint64(binary.LittleEndian.Uint16(head[blocklistLen:]))
	if binary.LittleEndian.Uint64(head[blocklist:]) != at+1 || n != uint64(sizes[b]/sector-1) {
		t.Errorf("the list of blocks is of sector %d, %d sectors, want %d, %d",
			binary.LittleEndian.Uint64(head[blocklist:]), n, at+1, sizes[b]/sector-1)
		return 0, at
	}
	rest := head[sector : (n+1)*sector]
	if !bytes.Equal(head[:blocklist], bytes.Repeat([]byte{b}, blocklist)) ||
		!bytes.Equal(rest, bytes.Repeat([]byte{b}, len(rest))) {
		t.Errorf("the core.img in sector %d is not whole", at)
		return 0, at
	}
	return b, at
}

// Each install takes the half that the boot sector does not name. Cut anywhere, the disk starts the old core.img or the
// new one, whole, and the next install succeeds.
func TestInstallBIOSAlternates(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	part := Extent{Start: 1 << 20, Size: 1 << 20}
	sizes := map[byte]int{1: 300 << 10, 2: 200 << 10, 3: 512 << 10}
	m := make(memory, 3<<20)
	for i, want := range []struct {
		image byte
		at    uint64
	}{{1, 2048}, {2, 3072}, {3, 2048}, {1, 3072}} {
		images := grub(want.image, sizes[want.image])
		for cut := 0; i > 0; cut++ {
			old, _ := starts(t, m, sizes)
			p := &power{memory: bytes.Clone(m), durable: m, left: cut}
			if err := InstallBIOS(p, images, part, sector); err == nil {
				break
			} else if !errors.Is(err, errPower) {
				t.Fatal(err)
			}
			for range 100 {
				back := p.after(r)
				if got, _ := starts(t, back, sizes); got != old && got != want.image {
					t.Fatalf("cut before operation %d the disk starts image %d, want %d or %d", cut, got, old,
						want.image)
				}
				if err := InstallBIOS(back, images, part, sector); err != nil {
					t.Fatal(err)
				}
				if got, _ := starts(t, back, sizes); got != want.image {
					t.Fatalf("installed again after a cut, the disk starts image %d, want %d", got, want.image)
				}
			}
		}
		if err := InstallBIOS(m, images, part, sector); err != nil {
			t.Fatal(err)
		}
		if got, at := starts(t, m, sizes); got != want.image || at != want.at {
			t.Fatalf("the disk starts image %d in sector %d, want %d, %d", got, at, want.image, want.at)
		}
		p := &power{memory: bytes.Clone(m), left: 100}
		if err := InstallBIOS(p, images, part, sector); err != nil || p.writes != 0 {
			t.Errorf("the same install again = %v, with %d writes, want none", err, p.writes)
		}
	}
}

// A core.img larger than half the partition takes the start of it.
func TestInstallBIOSTooLargeForHalf(t *testing.T) {
	part := Extent{Start: 1 << 20, Size: 1 << 20}
	sizes := map[byte]int{1: 300 << 10, 2: 513 << 10}
	m := make(memory, 3<<20)
	for _, image := range []byte{1, 2, 2} {
		if err := InstallBIOS(m, grub(image, sizes[image]), part, sector); err != nil {
			t.Fatal(err)
		}
		if got, at := starts(t, m, sizes); got != image || at != 2048 {
			t.Errorf("the disk starts image %d in sector %d, want %d, 2048", got, at, image)
		}
	}
}
