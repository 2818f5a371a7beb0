// Package encoding turns a send stream into independent zstd frames and back.
//
// Call Encoder.Encode to compress a stream into a blob store: it puts the encoding, an immutable blob named by its
// SHA-256, and its Index. FrameDecoder decodes one frame.
//
//	+---------+---------+---+---------+
//	| frame 0 | frame 1 | … | frame n |   an encoding: a valid .zst file (RFC 8878)
//	+---------+---------+---+---------+
//	 each holds 1 to MaxFramePieces pieces of the stream, 8 MiB each; the last piece is shorter
//
// An Index is JSON, not signed: for each frame it has offset, length, number of pieces and SHA-256, and what of the
// parent's files is its dictionary. What the frames decode to is compared with the signed pieces of the stream's
// document. Frames, windows and dictionaries are bounded, so decoding is too.
package encoding

import (
	"encoding/json"
	"fmt"

	"griddle/imagestore/blob"
	"griddle/imagestore/document"
	"griddle/imagestore/sendstream"
)

// The formats of an Index. The second one has frames with dictionaries, which readers of the first cannot decode.
const (
	Format           = "griddle-index/1"
	FormatDictionary = "griddle-index/2"
)

const (
	// MaxFramePieces bounds a frame, and with it the memory that reading one takes.
	MaxFramePieces = 4
	// MaxDictionary bounds the dictionary of a frame likewise, in bytes.
	MaxDictionary = 32 << 20
	// MaxExtracts is how many files a dictionary may be made of.
	MaxExtracts  = 4096
	MaxIndexSize = 16 << 20 // bytes
)

// Index describes one encoding of a stream. It is not signed and needs no trust: what the frames decode to is
// compared with the signed pieces.
type Index struct {
	Format    string      `json:"format"`   // Format, or FormatDictionary where a frame has a dictionary
	Encoding  blob.Digest `json:"encoding"` // the frames, one after another
	Size      int64       `json:"size"`     // of the encoding, in bytes
	Raw       int64       `json:"raw"`      // of the stream, in bytes
	PieceSize int64       `json:"pieceSize"`
	Level     int         `json:"level,omitempty"` // zstd's level that it was made at; zero if it is not known
	Frames    []Frame     `json:"frames"`
}

// Frame is one independent zstd frame. Frames follow one another without a gap, in the order of their pieces.
type Frame struct {
	Offset int64  `json:"offset"` // in the encoding
	Length int64  `json:"length"` // bytes
	Pieces int    `json:"pieces"` // how many whole pieces it holds, 1 to MaxFramePieces
	SHA256 string `json:"sha256"` // of its Length bytes, hex

	// Dictionary lists the parts of the parent's files that a decoder needs first: their content, one after
	// another, is a dictionary without a header (RFC 8878 section 5 calls it raw content; `zstd --patch-from`).
	Dictionary []Extract `json:"dict,omitempty"`
}

// Extract is a part of a regular file of a stream's parent.
type Extract struct {
	Path   string `json:"path"` // in the tree, as a send stream spells it
	Offset int64  `json:"offset,omitempty"`
	Length int64  `json:"length"`
}

// NeedsParent says whether decoding takes files of the stream's parent.
func (x Index) NeedsParent() bool { return x.Format == FormatDictionary }

// checkDictionary says what is wrong with a frame's dictionary, if anything.
func (f Frame) checkDictionary() error {
	if len(f.Dictionary) > MaxExtracts {
		return fmt.Errorf("a dictionary of %d parts, %d are allowed", len(f.Dictionary), MaxExtracts)
	}
	left := int64(MaxDictionary)
	for _, e := range f.Dictionary {
		if e.Path == "" { // the root, in a stream
			return fmt.Errorf("dictionary: %w: a file without a name", sendstream.ErrPath)
		}
		if err := sendstream.CheckPath(e.Path); err != nil {
			return fmt.Errorf("dictionary: %w", err)
		}
		if e.Offset < 0 || e.Offset > 1<<62 || e.Length < 1 || e.Length > left {
			return fmt.Errorf("dictionary: %d bytes at %d of %.80q are not possible, or more than %d together",
				e.Length, e.Offset, e.Path, int64(MaxDictionary))
		}
		left -= e.Length
	}
	return nil
}

// dictionarySize is the bytes of a frame's dictionary.
func (f Frame) dictionarySize() (n int64) {
	for _, e := range f.Dictionary {
		n += e.Length
	}
	return n
}

// MaxFrame is the longest that a frame of n pieces may be: zstd's own bound for incompressible input is shorter.
func MaxFrame(pieces int) int64 {
	raw := int64(pieces) * document.PieceSize
	return raw + raw>>7 + 1024
}

// ParseIndex reads the blob of an index and checks that its frames follow one another without a gap and hold all
// pieces.
func ParseIndex(b []byte) (Index, error) {
	var x Index
	if len(b) > MaxIndexSize {
		return x, fmt.Errorf("parsing index: %d bytes are more than an index may have", len(b))
	}
	if err := json.Unmarshal(b, &x); err != nil {
		return Index{}, fmt.Errorf("parsing index: %w", err)
	}
	if err := x.Validate(); err != nil {
		return Index{}, fmt.Errorf("parsing index: %w", err)
	}
	return x, nil
}

func (x Index) Validate() error {
	if x.Format != Format && x.Format != FormatDictionary {
		return fmt.Errorf("format is %.40q, want %q or %q", x.Format, Format, FormatDictionary)
	}
	if x.Level < 0 || x.Level > 22 {
		return fmt.Errorf("level %d is not one of zstd's", x.Level)
	}
	if x.Encoding == "" {
		return fmt.Errorf("it names no encoding")
	}
	if x.PieceSize != document.PieceSize || x.Raw <= 0 {
		return fmt.Errorf("%d bytes in pieces of %d are not possible", x.Raw, x.PieceSize)
	}
	var at, pieces int64
	for i, f := range x.Frames {
		if f.Pieces < 1 || f.Pieces > MaxFramePieces {
			return fmt.Errorf("frame %d has %d pieces, 1 to %d are allowed", i, f.Pieces, MaxFramePieces)
		}
		if f.Length < 1 || f.Length > MaxFrame(f.Pieces) {
			return fmt.Errorf("frame %d has %d bytes, too many for its %d pieces or none", i, f.Length, f.Pieces)
		}
		if f.Offset != at {
			return fmt.Errorf("frame %d is at %d, not at %d where the one before ends", i, f.Offset, at)
		}
		if err := document.CheckSHA256(f.SHA256); err != nil {
			return fmt.Errorf("frame %d: %w", i, err)
		}
		if len(f.Dictionary) > 0 && x.Format != FormatDictionary {
			return fmt.Errorf("frame %d has a dictionary, which format %q does not know", i, x.Format)
		}
		if err := f.checkDictionary(); err != nil {
			return fmt.Errorf("frame %d: %w", i, err)
		}
		at += f.Length
		pieces += int64(f.Pieces)
	}
	if at != x.Size {
		return fmt.Errorf("the frames end at %d, the encoding at %d", at, x.Size)
	}
	if pieces != document.PieceCount(x.Raw) {
		return fmt.Errorf("%d pieces do not make %d bytes", pieces, x.Raw)
	}
	return nil
}
