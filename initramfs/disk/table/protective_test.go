package table

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"griddle/initramfs/disk/content"
	"griddle/initramfs/disk/disktest"
)

func TestCHS(t *testing.T) {
	for _, c := range []struct {
		sector int64
		want   [3]byte
	}{
		{0, [3]byte{0, 1, 0}},
		{1, [3]byte{0, 2, 0}},
		{62, [3]byte{0, 63, 0}},
		{63, [3]byte{1, 1, 0}},
		{255*63 - 1, [3]byte{254, 63, 0}},
		{255 * 63, [3]byte{0, 1, 1}},
		{255*63*256 + 5, [3]byte{0, 0x46, 0}},
		{255*63*1024 - 1, [3]byte{254, 0xff, 0xff}},
		{255 * 63 * 1024, [3]byte{255, 255, 255}},
		{1 << 40, [3]byte{255, 255, 255}},
	} {
		if got := chs(c.sector); got != c.want {
			t.Errorf("chs(%d) = %v, want %v", c.sector, got, c.want)
		}
	}
}

// The entry has its addresses from the first write on, and the active flag, once set, is there when the disk is marked.
func TestProtectiveEntry(t *testing.T) {
	const size = 1 << 30
	f, err := os.Create(filepath.Join(t.TempDir(), "disk"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	l, err := WholeDisk(job, size, 512)
	if err != nil {
		t.Fatal(err)
	}
	entry := func() []byte {
		b := make([]byte, 16)
		if _, err := f.ReadAt(b, 446); err != nil {
			t.Fatal(err)
		}
		return b
	}
	want := []byte{0, 0, 2, 0, 0xee, 138, 8, 130, 1, 0, 0, 0, 0xff, 0xff, 0x1f, 0}
	if err := l.Write(f, content.Content{}); err != nil {
		t.Fatal(err)
	}
	if got := entry(); !bytes.Equal(got, want) {
		t.Errorf("after Write the entry is %x, want %x", got, want)
	}
	if err := Mark(f, size, 512, job); err != nil {
		t.Fatal(err)
	}
	if got := entry(); !bytes.Equal(got, want) {
		t.Errorf("after Mark the entry is %x, want %x", got, want)
	}
	if err := l.Write(f, content.Content{}); err != nil {
		t.Fatal(err)
	}
	if err := Activate(f); err != nil {
		t.Fatal(err)
	}
	if err := Mark(f, size, 512, job); err != nil {
		t.Fatal(err)
	}
	want[0] = 0x80
	if got := entry(); !bytes.Equal(got, want) {
		t.Errorf("activated and marked, the entry is %x, want %x", got, want)
	}
	if c, err := content.Inspect(f, size, 512); err != nil || c.Finished() != job || c.Damaged != "" {
		t.Errorf("Inspect = %+v, %v, want a finished install", c, err)
	}
	for _, args := range [][]string{{"sgdisk", "-v", f.Name()}, {"fdisk", "-l", f.Name()}} {
		if out := disktest.Tool(t, args[0], args[1:]...); args[0] == "sgdisk" &&
			!bytes.Contains([]byte(out), []byte("No problems found")) {
			t.Errorf("%v: %s", args, out)
		}
	}
}
