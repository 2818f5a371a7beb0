package resize

import (
	"bytes"
	"strings"
	"testing"
)

// FuzzSuper reads superblocks. A size is never below zero, and never more than can be.
func FuzzSuper(f *testing.F) {
	ext := make([]byte, 2048)
	copy(ext[1024+0x38:], "\x53\xef")
	ext[1024+4] = 8
	btrfs := make([]byte, 68<<10)
	copy(btrfs[64<<10+0x40:], "_BHRfS_M")
	btrfs[64<<10+0xd3] = 1
	f.Add(ext, uint8(0))
	f.Add(btrfs, uint8(1))
	f.Fuzz(func(t *testing.T, b []byte, kind uint8) {
		name := []string{"ext4", "btrfs"}[kind%2]
		if s, err := readSuper(bytes.NewReader(b), name); err == nil && (s.size <= 0 || s.size > 1<<62) {
			t.Errorf("readSuper of a %s = %+v", name, s)
		}
	})
}

// FuzzMinimum reads what resize2fs says.
func FuzzMinimum(f *testing.F) {
	f.Add("resize2fs 1.47.0 (5-Feb-2023)\nEstimated minimum size of the filesystem: 113134\n")
	f.Add("Estimated minimum size of the filesystem: 99999999999999999999\n")
	f.Add("Estimated minimum size of the filesystem: -1\n")
	f.Fuzz(func(t *testing.T, out string) {
		if n, err := minimum(out); err == nil && n < 0 {
			t.Errorf("minimum(%q) = %d", out, n)
		}
	})
}

// TestSuper has the superblocks that programs make, and impossible ones.
func TestSuper(t *testing.T) {
	ext := make([]byte, 2048)
	copy(ext[1024+0x38:], "\x53\xef")
	ext[1024+4], ext[1024+0x60], ext[1024+0x150] = 8, 0x80|0x4, 1
	s, err := readSuper(bytes.NewReader(ext), "ext4")
	if want := int64(1<<32+8) << 10; err != nil || s.size != want || !s.ext.unreplayed {
		t.Errorf("readSuper = %+v, %v; want %d bytes", s, err, want)
	}
	ext[1024+0x18] = 7
	for _, c := range []struct{ kind, want string }{
		{"ext4", "are impossible"}, {"btrfs", "reading the superblock of the btrfs"}, {"xfs", "cannot be shrunk"},
	} {
		if _, err := readSuper(bytes.NewReader(ext), c.kind); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("readSuper of a %s = %v, want %q", c.kind, err, c.want)
		}
	}
}
