package coreimage

import (
	"bytes"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// core is a core.img with a prefix, made by grub-mkimage as BuildGRUB makes it.
func core(t testing.TB, prefix string) []byte {
	t.Helper()
	dir := t.TempDir()
	out, conf := filepath.Join(dir, "core.img"), filepath.Join(dir, "early.cfg")
	if err := os.WriteFile(conf, []byte("normal (memdisk)/start.cfg\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"-O", "i386-pc", "-o", out, "-c", conf, "-p", prefix}
	args = append(args, "part_gpt", "fat", "btrfs", "normal", "linux", "biosdisk")
	if text, err := exec.Command("grub-mkimage", args...).CombinedOutput(); err != nil {
		t.Fatalf("grub-mkimage: %v: %s; run make deps", err, text)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// at is a disk with an image at a sector, as InstallBIOS and grub-bios-setup write it.
func at(image []byte, first int) []byte {
	n := (len(image) + sector - 1) / sector
	disk := make([]byte, (first+n+8)*sector)
	b := disk[first*sector:]
	copy(b, image)
	binary.LittleEndian.PutUint64(b[blocklist:], uint64(first)+1)
	binary.LittleEndian.PutUint16(b[blocklistLen:], uint16(n-1))
	return disk
}

func TestGriddles(t *testing.T) {
	own, other := core(t, Prefix), core(t, "(,gpt2)/boot/grub")
	spoiled := at(own, 2048)
	spoiled[2048*sector+60<<10] ^= 1
	for _, c := range []struct {
		name string
		disk []byte
		at   int64
		want bool
	}{
		{"Griddle's", at(own, 2048), 2048, true},
		{"another GRUB's", at(other, 2048), 2048, false},
		{"another GRUB's with a longer name", at(core(t, Prefix+"2"), 2048), 2048, false},
		{"Griddle's, for another place", append(make([]byte, sector), at(own, 2048)...), 2049, false},
		{"Griddle's, damaged", spoiled, 2048, false},
		{"Griddle's, cut off", at(own, 2048)[:2048*sector+len(own)/2], 2048, false},
		{"zeros", make([]byte, 1<<20), 8, false},
		{"the end of the disk", make([]byte, 9*sector), 8, false},
	} {
		got, err := Griddles(bytes.NewReader(c.disk), c.at*sector)
		if got != c.want || err != nil {
			t.Errorf("%s: Griddles = %v, %v, want %v", c.name, got, err, c.want)
		}
	}
	if _, err := Griddles(failing{}, 512); err == nil {
		t.Error("an error of the disk is lost")
	}
}

type failing struct{}

func (failing) ReadAt([]byte, int64) (int, error) { return 0, io.ErrNoProgress }

// Streams of xz, with the same properties, become what they were made of.
func TestDecompress(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for n := range 40 {
		var plain []byte
		for len(plain) < 1000*n {
			switch r.IntN(3) {
			case 0:
				plain = append(plain, byte(r.IntN(256)))
			case 1:
				plain = append(plain, slices.Repeat([]byte{byte(r.IntN(256))}, r.IntN(400))...)
			default:
				from := r.IntN(len(plain) + 1)
				plain = append(plain, plain[from:min(len(plain), from+r.IntN(300))]...)
			}
		}
		cmd := exec.Command("xz", "--format=raw", "--lzma1=dict=64KiB,lc=3,lp=0,pb=2", "--stdout")
		cmd.Stdin = bytes.NewReader(plain)
		packed, err := cmd.Output()
		if err != nil {
			t.Fatalf("xz: %v; run make deps", err)
		}
		got, err := decompress(packed, len(plain))
		if err != nil || !bytes.Equal(got, plain) {
			t.Fatalf("%d bytes became %d, %v", len(plain), len(got), err)
		}
	}
}

// Whatever a disk has, nothing but an answer comes of it.
func FuzzGriddles(f *testing.F) {
	image := at(core(f, Prefix), 1)
	f.Add(image, 100, byte(1))
	f.Add(image[:20<<10], 1024+compressedSize, byte(9))
	f.Add([]byte("\x00"), 0, byte(0))
	f.Fuzz(func(t *testing.T, disk []byte, where int, change byte) {
		disk = bytes.Clone(disk)
		if where >= 0 && where < len(disk) {
			disk[where] ^= change
		}
		if _, err := Griddles(bytes.NewReader(disk), sector); err != nil {
			t.Errorf("Griddles: %v", err)
		}
		if out, err := decompress(disk, 1<<16); err == nil && len(out) != 1<<16 {
			t.Errorf("decompress made %d bytes", len(out))
		}
	})
}
