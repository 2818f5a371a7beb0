package fetch

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"github.com/klauspost/compress/zstd"

	"griddle/imagestore/blob"
	"griddle/imagestore/document"
	"griddle/imagestore/encoding"
	"griddle/imagestore/imagetest"
)

// FuzzFrames serves any bytes as the frames of an encoding, with an index that fits them, against the signed pieces of
// a stream. Bytes that are not the stream's never come out, and what comes instead is an error.
func FuzzFrames(f *testing.F) {
	raw := imagetest.Bytes(3, 5000)
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		f.Fatal(err)
	}
	good := enc.EncodeAll(raw, nil)
	f.Add(good)
	f.Add(good[:len(good)-4])
	f.Add(append(bytes.Clone(good), good...))
	f.Add(enc.EncodeAll(raw[:4999], nil))
	f.Add(enc.EncodeAll(append(bytes.Clone(raw), 0), nil))
	f.Add(enc.EncodeAll(make([]byte, 64<<20), nil)) // a bomb
	f.Add([]byte{0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f})
	doc := document.Stream{Raw: int64(len(raw)), Pieces: []string{blob.Sum(raw).Hex()}}
	f.Fuzz(func(t *testing.T, frame []byte) {
		if int64(len(frame)) > encoding.MaxFrame(1) || len(frame) == 0 {
			return
		}
		x := encoding.Index{Encoding: blob.Sum(frame), Size: int64(len(frame)), Raw: doc.Raw,
			Frames: []encoding.Frame{{Length: int64(len(frame)), Pieces: 1, SHA256: blob.Sum(frame).Hex()}}}
		r := newFrameReader(t.Context(), NewSources([]blob.Reader{oneBlob(frame)}, quick(Options{})),
			openedStream{doc, x}, "", false)
		defer r.Close()
		got, err := io.ReadAll(r)
		if err == nil && !bytes.Equal(got, raw) || err != nil && (len(got) > 0 || !errors.Is(err, ErrCorrupt)) {
			t.Errorf("%d bytes came, %v", len(got), err)
		}
	})
}

// oneBlob is a source of one blob, whatever its name.
type oneBlob []byte

func (b oneBlob) Open(_ context.Context, _ blob.Digest, off, n int64) (io.ReadCloser, error) {
	if n < 0 {
		n = int64(len(b)) - off
	}
	return io.NopCloser(io.NewSectionReader(bytes.NewReader(b), off, n)), nil
}

func (b oneBlob) Stat(context.Context, blob.Digest) (int64, error) { return int64(len(b)), nil }
