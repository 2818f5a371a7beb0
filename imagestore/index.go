package imagestore

import (
	"encoding/json"
	"fmt"

	"griddle/imagestore/blob"
)

// IndexFormat is the format of an Index.
const IndexFormat = "griddle-index/1"

const (
	// MaxFramePieces bounds a frame, and with it the memory that reading one takes.
	MaxFramePieces = 4
	maxIndex       = 16 << 20 // bytes
)

// Index describes one encoding of a stream. It is not signed and needs no trust: what the frames decode to is
// compared with the signed pieces.
type Index struct {
	Format    string      `json:"format"`   // IndexFormat
	Encoding  blob.Digest `json:"encoding"` // the frames, one after another
	Size      int64       `json:"size"`     // of the encoding, in bytes
	Raw       int64       `json:"raw"`      // of the stream, in bytes
	PieceSize int64       `json:"pieceSize"`
	Frames    []Frame     `json:"frames"`
}

// Frame is one independent zstd frame. Frames lie back to back, in the order of their pieces.
type Frame struct {
	Offset int64  `json:"offset"` // in the encoding
	Length int64  `json:"length"` // bytes
	Pieces int    `json:"pieces"` // how many whole pieces it holds, 1 to MaxFramePieces
	SHA256 string `json:"sha256"` // of its Length bytes, hex
}

// maxFrame is the longest that a frame of n pieces may be: zstd's own bound for incompressible input is shorter.
func maxFrame(pieces int) int64 {
	raw := int64(pieces) * PieceSize
	return raw + raw>>7 + 1024
}

// ParseIndex reads the blob of an index and checks that its frames lie back to back and hold all pieces.
func ParseIndex(b []byte) (Index, error) {
	var x Index
	if len(b) > maxIndex {
		return x, fmt.Errorf("parsing index: %d bytes are more than an index may have", len(b))
	}
	if err := json.Unmarshal(b, &x); err != nil {
		return Index{}, fmt.Errorf("parsing index: %w", err)
	}
	if err := x.validate(); err != nil {
		return Index{}, fmt.Errorf("parsing index: %w", err)
	}
	return x, nil
}

func (x Index) validate() error {
	if x.Format != IndexFormat {
		return fmt.Errorf("format is %.40q, want %q", x.Format, IndexFormat)
	}
	if x.Encoding == "" {
		return fmt.Errorf("it names no encoding")
	}
	if x.PieceSize != PieceSize || x.Raw <= 0 {
		return fmt.Errorf("%d bytes in pieces of %d are not possible", x.Raw, x.PieceSize)
	}
	var at, pieces int64
	for i, f := range x.Frames {
		if f.Pieces < 1 || f.Pieces > MaxFramePieces {
			return fmt.Errorf("frame %d has %d pieces, 1 to %d are allowed", i, f.Pieces, MaxFramePieces)
		}
		if f.Length < 1 || f.Length > maxFrame(f.Pieces) {
			return fmt.Errorf("frame %d has %d bytes, too many for its %d pieces or none", i, f.Length, f.Pieces)
		}
		if f.Offset != at {
			return fmt.Errorf("frame %d is at %d, not at %d where the one before ends", i, f.Offset, at)
		}
		if err := checkSum(f.SHA256); err != nil {
			return fmt.Errorf("frame %d: %w", i, err)
		}
		at += f.Length
		pieces += int64(f.Pieces)
	}
	if at != x.Size {
		return fmt.Errorf("the frames end at %d, the encoding at %d", at, x.Size)
	}
	if pieces != pieceCount(x.Raw) {
		return fmt.Errorf("%d pieces do not make %d bytes", pieces, x.Raw)
	}
	return nil
}
