package encoding

import (
	"context"
	"fmt"
	"slices"

	"github.com/klauspost/compress/zstd"

	"griddle/imagestore/blob"
	"griddle/imagestore/document"
)

// NewZstdDecoder makes a decoder that never writes more than limit bytes; with capped it also never writes more
// than fits into the slice that it appends to. The limit bounds windows too, and is at least a mebibyte, because
// encoders choose no smaller window.
func NewZstdDecoder(limit int64, capped bool) (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecodeAllCapLimit(capped),
		zstd.WithDecoderMaxMemory(uint64(max(limit, MaxFramePieces*document.PieceSize))))
}

// CheckPieces compares decoded bytes with the pieces' SHA-256 in hex. first is the number of the first
// piece, for the error.
func CheckPieces(raw []byte, sums []string, first int) error {
	k := 0
	for p := range slices.Chunk(raw, document.PieceSize) {
		if blob.Sum(p).Hex() != sums[k] {
			return fmt.Errorf("piece %d differs from the signed document", first+k)
		}
		k++
	}
	return nil
}

// Fits compares a stream document with its index and with the image that it must make.
func Fits(s document.Stream, x Index, image document.Identity) error {
	if s.Image != image {
		return fmt.Errorf("stream document: it makes %s (%s), not %s (%s)", s.Image.Ref, s.Image.UUID,
			image.Ref, image.UUID)
	}
	if x.NeedsParent() && s.Parent == nil {
		return fmt.Errorf("index: its frames need a parent's files, and the stream has no parent")
	}
	if x.Raw != s.Raw {
		return fmt.Errorf("index: it is of a stream of %d bytes, not of %d", x.Raw, s.Raw)
	}
	return nil
}

func ReadIndex(ctx context.Context, r blob.Reader, d blob.Digest) (Index, error) {
	b, err := blob.ReadAll(ctx, r, d, MaxIndexSize)
	if err != nil {
		return Index{}, err
	}
	return ParseIndex(b)
}
