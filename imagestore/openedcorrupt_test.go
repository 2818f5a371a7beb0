package imagestore_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"griddle/imagestore"
	"griddle/imagestore/blob"
	"griddle/imagestore/catalog"
	"griddle/imagestore/document"
	"griddle/imagestore/encoding"
	"griddle/imagestore/fetch"
	"griddle/imagestore/imagetest"
)

func TestChangedByte(t *testing.T) {
	for _, c := range []struct {
		name  string
		blob  func(catalog.Listed) blob.Digest
		words string // of the error of fetch.Open; "" where the stream fails
	}{
		{"image document", func(l catalog.Listed) blob.Digest { return l.Document },
			"content does not match its digest"},
		{"stream document", func(l catalog.Listed) blob.Digest { return l.Streams[0].Document },
			"stream 1: content is damaged"},
		{"index", func(l catalog.Listed) blob.Digest { return l.Streams[0].Index }, "stream 1: content is damaged"},
		{"encoding", func(l catalog.Listed) blob.Digest { return l.Streams[0].Encoding }, ""},
	} {
		f, raw, l, p := threeFrames(t)
		good, err := imagestore.Open(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.blobs() {
			r, err := f.s.Blobs.Open(t.Context(), d, 0, -1)
			if err == nil {
				_, _, err = good.Blobs.Put(t.Context(), r, d)
				r.Close()
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		f.damage(c.blob(l), -3)
		retries := 0
		got, err := readStream(f, p, fetch.Options{Retry: func(error, int) { retries++ }}, f.s.Blobs)
		if !errors.Is(err, fetch.ErrCorrupt) || retries != fetch.ContentAttempts-1 || bytes.Equal(got, raw) {
			t.Errorf("%s: read %d bytes, %v after %d retries, want %v", c.name, len(got), err,
				retries, fetch.ErrCorrupt)
		}
		if c.words != "" && (len(got) > 0 || !strings.Contains(err.Error(), c.words)) {
			t.Errorf("%s: %d bytes came, then %v, want none and %q", c.name, len(got), err, c.words)
		}
		if c.words == "" && (len(got) != 2*document.PieceSize || !strings.Contains(err.Error(), "frame 2 at ")) {
			t.Errorf("%s: %d bytes came, then %v, want two frames and the third named", c.name, len(got), err)
		}
		if !bytes.HasPrefix(raw, got) {
			t.Errorf("%s: a byte came out that was not verified", c.name)
		}
		if got, err := readStream(f, p, fetch.Options{}, f.s.Blobs, good.Blobs); err != nil || !bytes.Equal(got, raw) {
			t.Errorf("%s: with a second source: %d bytes, %v", c.name, len(got), err)
		}
		v, err := f.s.Verify(t.Context(), imagetest.Ref(t, "web"), nil)
		if err != nil || v.OK || len(v.Problems) != 1 || !strings.Contains(v.Problems[0], "sha256:") {
			t.Errorf("%s: Verify = %+v, %v, want one problem that names the blob", c.name, v, err)
		}
	}
}

func TestShortAndMissingBlobs(t *testing.T) {
	f, _, l, p := threeFrames(t)
	file := f.blobFile(l.Streams[0].Encoding)
	if err := os.Truncate(file, l.Streams[0].Wire-10); err != nil {
		t.Fatal(err)
	}
	remote := f.overServer().s
	for name, src := range map[string]blob.Reader{"local": f.s.Blobs, "server": remote.Blobs} {
		if _, err := readStream(f, p, fetch.Options{}, src); !errors.Is(err, fetch.ErrCorrupt) ||
			!strings.Contains(err.Error(), "it ends after") {
			t.Errorf("%s: a short encoding gives %v", name, err)
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	for name, src := range map[string]blob.Reader{"local": f.s.Blobs, "server": remote.Blobs} {
		if _, err := readStream(f, p, fetch.Options{}, src); !errors.Is(err, blob.ErrNotExist) {
			t.Errorf("%s: a missing encoding gives %v", name, err)
		}
	}
}

// zeros never ends.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestEndlessDocument has a source give a document that never ends: wrong content like any other, not a reason to ask
// for ever.
func TestEndlessDocument(t *testing.T) {
	f := newFixture(t)
	f.publish("web:1@amd64", way{"", imagetest.Bytes(1, 1000)})
	p, err := f.s.Plan(t.Context(), imagetest.Ref(t, "web"))
	if err != nil {
		t.Fatal(err)
	}
	trust, err := f.s.Trusted(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	src := &flaky{Reader: f.s.Blobs, body: func(int, blob.Digest, int64, io.Reader) io.Reader { return zeros{} }}
	_, err = fetch.Open(ctx, []blob.Reader{src}, trust, p, quick(fetch.Options{Retry: func(_ error, attempt int) {
		if attempt > 2*fetch.ContentAttempts {
			cancel()
		}
	}}))
	if !errors.Is(err, fetch.ErrCorrupt) || !errors.Is(err, blob.ErrTooLong) {
		t.Errorf("OpenPlan = %v, want %v", err, blob.ErrTooLong)
	}
}

// TestHostileFrames stores encodings whose index is consistent and whose frames are not what was signed.
func TestHostileFrames(t *testing.T) {
	f, raw, l, p := threeFrames(t)
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	other := bytes.Clone(raw[:document.PieceSize])
	other[77]++
	bomb := enc.EncodeAll(make([]byte, 64<<20), nil)
	for name, c := range map[string]struct {
		first []byte
		words string
	}{
		"other content": {enc.EncodeAll(other, nil), "piece 0 differs"},
		"too short":     {enc.EncodeAll(raw[:document.PieceSize-1], nil), "it decodes to 8388607 bytes"},
		"too long":      {enc.EncodeAll(raw[:document.PieceSize+1], nil), ""},
		"a bomb":        {bomb, ""},
		"two frames":    {append(enc.EncodeAll(raw[:document.PieceSize], nil), enc.EncodeAll(raw[:1], nil)...), ""},
		"not zstd":      {bytes.Repeat([]byte("x"), 100), ""},
	} {
		x, err := encoding.ReadIndex(t.Context(), f.s.Blobs, l.Streams[0].Index)
		if err != nil {
			t.Fatal(err)
		}
		rest, err := blob.ReadAll(t.Context(), f.s.Blobs, x.Encoding, x.Size)
		if err != nil {
			t.Fatal(err)
		}
		bytesOf := append(bytes.Clone(c.first), rest[x.Frames[1].Offset:]...)
		x.Frames[0].Length, x.Frames[0].SHA256 = int64(len(c.first)), blob.Sum(c.first).Hex()
		for i := 1; i < len(x.Frames); i++ {
			x.Frames[i].Offset = x.Frames[i-1].Offset + x.Frames[i-1].Length
		}
		x.Size, x.Encoding = int64(len(bytesOf)), blob.Sum(bytesOf)
		line, err := document.MarshalLine(x)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range [][]byte{bytesOf, line} {
			if _, _, err := f.s.Blobs.Put(t.Context(), bytes.NewReader(b), ""); err != nil {
				t.Fatal(err)
			}
		}
		bad := p
		bad.Streams = []fetch.PlanStream{{Document: p.Streams[0].Document, Index: blob.Sum(line),
			Raw: p.Streams[0].Raw, Wire: x.Size}}
		got, err := readStream(f, bad,
			fetch.Options{Retry: func(err error, _ int) { t.Errorf("%s: asked again after %v", name, err) }}, f.s.Blobs)
		if len(got) != 0 || !errors.Is(err, fetch.ErrCorrupt) || !strings.Contains(err.Error(), "frame 0 at 0") ||
			!strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: read %d bytes, %v", name, len(got), err)
		}
	}
}
