package btrfs

import (
	"errors"
	"testing"

	"griddle/cloud/diskimage/tree"
)

// TestPackedPlace: an extent that is not within one piece is refused.
func TestPackedPlace(t *testing.T) {
	p := tree.Packed{Size: 9 * tree.PieceSize, Pieces: []int64{2, 5, 8}}
	for _, c := range []struct {
		offset, length, want uint64
		bad                  bool
	}{
		{0, tree.PieceSize, 2 * tree.PieceSize, false}, {tree.PieceSize + 4096, 4096, 5*tree.PieceSize + 4096, false},
		{2 * tree.PieceSize, 4096, 8 * tree.PieceSize, false}, {0, 2 * tree.PieceSize, 0, true},
		{4096, tree.PieceSize, 0, true}, {3 * tree.PieceSize, 4096, 0, true},
	} {
		got, err := place(p, c.offset, c.length)
		if got != c.want || errors.Is(err, ErrLayout) != c.bad {
			t.Errorf("place(%d, %d) = %d, %v, want %d", c.offset, c.length, got, err, c.want)
		}
	}
}
