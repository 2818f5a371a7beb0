package dividetest

import (
	"context"
	"io"
	"math/rand/v2"
	"testing"

	"griddle/initramfs/disk/content"
)

// island is a disk of zeros with ones from at on.
type island struct{ size, at, n int64 }

func (d island) ReadAt(b []byte, off int64) (int, error) {
	for i := range b {
		switch o := off + int64(i); {
		case o >= d.size:
			return i, io.EOF
		case o >= d.at && o < d.at+d.n:
			b[i] = 1
		default:
			b[i] = 0
		}
	}
	return len(b), nil
}

// TestUnknownIsFound has Sample look at random disks with unknown content.
func TestUnknownIsFound(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		size := between(r, 400*mib, 6*tib)
		if r.IntN(2) == 0 {
			size = between(r, 400*mib, 8*gib)
		}
		at, n := unknown(r, size)
		if got := content.Sample(context.Background(), island{size, at, n}, size); got == content.Zeros {
			t.Errorf("%d bytes from %d on a disk of %d bytes were not found", n, at, size)
		}
	}
}
