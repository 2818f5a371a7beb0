package fetch

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	"griddle/imagestore/blob"
	"griddle/imagestore/document"
	"griddle/imagestore/encoding"
	"griddle/imagestore/imagetest"
)

// decodeAll reads an encoding as who holds the signed document reads it.
func decodeAll(t *testing.T, blobs blob.Reader, e encoding.Encoded, parent string) ([]byte, error) {
	t.Helper()
	doc := document.Stream{Raw: e.Raw, Pieces: e.Pieces}
	r := newFrameReader(t.Context(), NewSources([]blob.Reader{blobs}, quick(Options{})),
		openedStream{doc, e.Frames}, parent, false)
	defer r.Close()
	return io.ReadAll(r)
}

// TestDictionarySizes has streams and dictionaries of the sizes at which a frame's header and window change: the
// program that compresses and the decoder must mean the same by them.
func TestDictionarySizes(t *testing.T) {
	blobs, err := blob.OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	parent := t.TempDir()
	old := imagetest.Words(7, encoding.MaxDictionary)
	if err := os.WriteFile(filepath.Join(parent, "old"), old, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name       string
		raw, dict  int
		pieces     int
		wantFrames int
	}{
		{"a byte from a byte", 1, 1, 4, 1},
		{"less than zstd takes for a dictionary", 5000, 7, 1, 1},
		{"a short stream from all there is", 3000, encoding.MaxDictionary, 1, 1},
		{"a piece from all there is", document.PieceSize, encoding.MaxDictionary, 1, 1},
		{"a piece and a byte, two frames", document.PieceSize + 1, 1 << 20, 1, 2},
		{"the longest frame from little", 4 * document.PieceSize, 1000, 4, 1},
		{"the longest frame from all there is", 4 * document.PieceSize, encoding.MaxDictionary, 4, 1},
		{"and one after it", 4*document.PieceSize + 100, encoding.MaxDictionary, 4, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			raw := imagetest.Words(7, c.raw)
			for i := 0; i < len(raw); i += 1 << 12 {
				raw[i] ^= 1
			}
			// Level 10 has the long window that 19 has, in a tenth of the time.
			e := encoding.Encoder{Program: imagetest.Need(t, "zstd"), Level: 10, FramePieces: c.pieces, Parent: parent,
				Dictionary: func(_, n int64) []encoding.Extract {
					return []encoding.Extract{{Path: "old", Offset: 0, Length: int64(c.dict)}}
				}}
			made, err := e.Encode(t.Context(), bytes.NewReader(raw), blobs)
			if err != nil {
				t.Fatal(err)
			}
			if len(made.Frames.Frames) != c.wantFrames {
				t.Errorf("%d frames, want %d", len(made.Frames.Frames), c.wantFrames)
			}
			if c.dict >= c.raw && c.raw > 1<<20 && made.Wire > int64(c.raw)/20 {
				t.Errorf("%d bytes became %d with a dictionary that has them: it was not used", c.raw, made.Wire)
			}
			got, err := decodeAll(t, blobs, made, parent)
			if err != nil || !bytes.Equal(got, raw) {
				t.Errorf("%d bytes came of it, %v, want %d", len(got), err, len(raw))
			}
		})
	}
}
