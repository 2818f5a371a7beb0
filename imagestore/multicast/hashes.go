package multicast

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"griddle/imagestore/blob"
	"griddle/imagestore/multicast/watchdog"
)

// Hashes is the SHA-256 of each block of an encoding, in order, 32 bytes each. It is as trustworthy as the source of
// its digest; the pieces of the encoding have their own signatures.
type Hashes []byte

// HashBlocks reads an encoding to its end, and hashes its blocks.
func HashBlocks(r io.Reader, l Layout) (Hashes, error) {
	var out Hashes
	for {
		h := sha256.New()
		n, err := io.CopyN(h, r, l.Block())
		if n > 0 {
			out = h.Sum(out)
		}
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("hashing blocks: %w", err)
		}
	}
}

// ParseHashes checks that b is the list that s names, by length and digest (blob.ErrMismatch).
func ParseHashes(b []byte, s Session) (Hashes, error) {
	if want := s.Layout.Blocks(s.Size) * sha256.Size; len(b) != want {
		return nil, fmt.Errorf("reading block hashes: they have %d bytes, not the %d for an encoding of %d bytes",
			len(b), want, s.Size)
	}
	if got := blob.Sum(b); got != s.Hashes {
		return nil, fmt.Errorf("reading block hashes: %w: got %s, want %s", blob.ErrMismatch, got, s.Hashes)
	}
	return Hashes(b), nil
}

// FetchHashes gets the list that s names, at most 23 MB, from the first source that has it. A source that hangs is
// given up for the next one.
func FetchHashes(ctx context.Context, sources []blob.Reader, s Session) (h Hashes, err error) {
	err = errors.New("no source is given")
	for _, r := range sources {
		err = watchdog.Do(ctx, func(ctx context.Context) error {
			b, err := blob.ReadAll(ctx, r, s.Hashes, int64(s.Layout.Blocks(s.Size))*sha256.Size)
			if err == nil {
				h, err = ParseHashes(b, s)
			}
			return err
		})
		if err == nil {
			return h, nil
		}
	}
	return nil, fmt.Errorf("fetching block hashes: %w", err)
}

// Match says whether b has the bytes of block i.
func (h Hashes) Match(i int, b []byte) bool {
	return i >= 0 && (i+1)*sha256.Size <= len(h) && sha256.Sum256(b) == [sha256.Size]byte(h[i*sha256.Size:])
}
