package facts

import (
	"bytes"
	"encoding/binary"
	"testing"
)

func TestParseSmallest(t *testing.T) {
	for out, want := range map[string]int64{
		"resize2fs 1.47.0 (5-Feb-2023)\nEstimated minimum size of the filesystem: 26385\n": 26385,
		"Estimated minimum size of the filesystem: -3\n":                                   0,
		"Estimated minimum size of the filesystem: 1e9\n":                                  0,
		"resize2fs 1.47.0 (5-Feb-2023)\nPlease run 'e2fsck -f /dev/x' first.\n":            0,
		"": 0,
	} {
		if got, err := parseSmallest(out); got != want || (err == nil) != (want > 0) {
			t.Errorf("%q: %d, %v, want %d", out, got, err, want)
		}
	}
}

func FuzzExt(f *testing.F) {
	b := make([]byte, extSize)
	binary.LittleEndian.PutUint16(b[0x38:], 0xef53)
	binary.LittleEndian.PutUint32(b[4:], 100)
	f.Add(b, int64(1<<30))
	f.Fuzz(func(t *testing.T, b []byte, size int64) {
		b = append(b, make([]byte, extSize)...)[:extSize]
		e, err := parseExt(b, size)
		if err == nil && (e.free < 0 || e.free > e.blocks || e.unfit == "" && e.blocks > size/e.block) {
			t.Errorf("%+v of %d bytes", e, size)
		}
	})
}

func FuzzBtrfs(f *testing.F) {
	b := make([]byte, btrfsSize)
	copy(b[0x40:], "_BHRfS_M")
	binary.LittleEndian.PutUint64(b[0x30:], btrfsAt)
	b[0xc4] = 1
	f.Add(b, int64(1<<30))
	f.Fuzz(func(t *testing.T, b []byte, size int64) {
		b = append(b, make([]byte, btrfsSize)...)[:btrfsSize]
		got, err := parseBtrfs(b, max(0, size))
		if err == nil && (got.Used < 0 || got.Minimum < 0 || got.Minimum > max(0, size)) {
			t.Errorf("%+v of %d bytes", got, size)
		}
	})
}

func FuzzFAT(f *testing.F) {
	b := make([]byte, 64<<10)
	copy(b[11:], []byte{0, 2, 4, 1, 0, 2, 0, 2, 0, 64, 0xf8, 16, 0})
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		b = append(b, make([]byte, 512)...)
		size := int64(len(b))
		v, err := parseFAT(b, size)
		if err != nil || v.length() > maxFAT {
			return
		}
		if n, err := v.used(bytes.NewReader(b)); err == nil && (n > v.clusters || v.before+n*v.cluster > size) {
			t.Errorf("%+v: %d are used, of %d bytes", v, n, size)
		}
	})
}
