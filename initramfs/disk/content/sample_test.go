package content

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"griddle/initramfs/disk/disktest"
)

const tib = int64(1) << 40

func TestSample(t *testing.T) {
	for _, c := range []struct {
		name string
		disk disktest.Filled
		want string
	}{
		{"zeros", disktest.Filled{Size: 2 * tib}, Zeros},
		{"ones", disktest.Filled{With: 0xff, Size: 2 * tib}, Ones},
		{"small", disktest.Filled{Size: 512}, Zeros},
		{"odd size", disktest.Filled{Size: 1<<30 + 512}, Zeros},
		{"no bytes", disktest.Filled{}, "it has no bytes"},
		{"one byte everywhere", disktest.Filled{With: 0xaa, Size: tib}, "data at byte 0 (0xaa)"},
		{"first byte", disktest.Filled{Size: tib, Odd: []disktest.Extent{{From: 0, To: 1}}}, "data at byte 0 (0x41)"},
		{"second byte", disktest.Filled{Size: tib, Odd: []disktest.Extent{{From: 1, To: 2}}}, "data at byte 1 (0x41)"},
		{"last byte", disktest.Filled{With: 0xff, Size: tib, Odd: []disktest.Extent{{From: tib - 1, To: tib}}},
			fmt.Sprintf("data at byte %d (0x41)", tib-1)},
		{"a read that fails", disktest.Filled{Size: tib, Fail: 10 << 20},
			"reading at byte 10485760: sector 20480: invalid argument"},
	} {
		if got := Sample(t.Context(), &c.disk, c.disk.Size); got != c.want {
			t.Errorf("%s: Sample = %q, want %q", c.name, got, c.want)
		}
	}
	// A disk that is shorter than it says.
	if got := Sample(t.Context(), bytes.NewReader(make([]byte, 1000)), 2000); !strings.Contains(got, "unexpected EOF") {
		t.Errorf("Sample of a disk that ends early = %q, want the error", got)
	}
}

// TestSamplePlaces: whatever the size, every 1/1024 of the disk is read in at least one place of 4 KiB, and both ends
// whole, in ascending order. The places are others each time.
func TestSamplePlaces(t *testing.T) {
	for _, size := range []int64{512, 1 << 20, 36 << 20, 36<<20 + 512, 100 << 20, 1 << 30, 500e9, 2 * tib,
		2*tib + 4096, 16*tib - 512} {
		d := &disktest.Filled{Size: size}
		if got := Sample(t.Context(), d, size); got != Zeros {
			t.Fatalf("Sample of %d zeros = %q", size, got)
		}
		at, covered, last := 0, int64(0), int64(0)
		for _, e := range d.Read {
			if e.From < last {
				t.Fatalf("size %d: %d is read after %d", size, e.From, last)
			}
			last = e.To
			covered += e.To - e.From
		}
		for i := range int64(1024) {
			from, to := i*(size/1024), (i+1)*(size/1024)
			for at < len(d.Read) && d.Read[at].To <= from {
				at++
			}
			if size/1024 > 0 && (at == len(d.Read) || d.Read[at].From >= to) {
				t.Errorf("size %d: nothing is read of part %d", size, i)
			}
		}
		if first := d.Read[0]; first.From != 0 || last != size || size >= 1<<30 && covered < 32<<20+900*4096 {
			t.Errorf("size %d: read %d bytes, from %d to %d", size, covered, first.From, last)
		}
		if size == 2*tib && len(d.Read) < 32+1024 {
			t.Errorf("%d reads of a large disk, want 1024 and its ends", len(d.Read))
		}
	}
	a, b := fmt.Sprint(samplePlaces(tib)), fmt.Sprint(samplePlaces(tib))
	if a == b {
		t.Error("the same places twice")
	}
}

// TestSampleFindsWhatItReads: one byte that differs, anywhere that is read, is found.
func TestSampleFindsWhatItReads(t *testing.T) {
	for range 50 {
		size := 1<<30 + rand.Int64N(tib)
		part := size / 1024
		i := rand.Int64N(1024)
		odd := []disktest.Extent{{From: i * part, To: (i + 1) * part}}
		d := &disktest.Filled{With: byte(rand.IntN(2)) * 0xff, Size: size, Odd: odd}
		if got := Sample(t.Context(), d, size); !strings.HasPrefix(got, "data at byte ") {
			t.Errorf("part %d of %d has data: Sample = %q", i, size, got)
		}
	}
	for range 50 {
		size := rand.Int64N(36<<20) + 1
		at := rand.Int64N(size)
		d := &disktest.Filled{Size: size, Odd: []disktest.Extent{{From: at, To: at + 1}}}
		if got := Sample(t.Context(), d, size); got != fmt.Sprintf("data at byte %d (0x41)", at) {
			t.Errorf("byte %d of %d differs: Sample = %q", at, size, got)
		}
	}
}

// TestSampleInTime: what was not read in time is not blank.
func TestSampleInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), SampleTime)
		defer cancel()
		got := Sample(ctx, &disktest.Filled{Size: tib, Wait: 40 * time.Millisecond}, tib)
		if !strings.HasPrefix(got, "it was not read in time: ") || !OutOfTime(got) || OutOfTime(Zeros) {
			t.Errorf("Sample of a slow disk = %q, want that it was not read in time", got)
		}
	})
}

// BenchmarkSample reads a file of 2 TiB that has no bytes on the medium: what is left is the cost of the calls.
func BenchmarkSample(b *testing.B) {
	f, err := os.Create(filepath.Join(b.TempDir(), "disk"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(2 * tib); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if got := Sample(b.Context(), f, 2*tib); got != Zeros {
			b.Fatal(got)
		}
	}
}
