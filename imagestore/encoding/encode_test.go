package encoding

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"testing/iotest"
	"time"

	"griddle/imagestore/blob"
	"griddle/imagestore/document"
	"griddle/imagestore/imagetest"
)

func TestEncode(t *testing.T) {
	zstdProgram := imagetest.Need(t, "zstd")
	for name, e := range map[string]Encoder{
		"go":            {},
		"one worker":    {Workers: 1},
		"program":       {Program: zstdProgram},
		"3 per frame":   {FramePieces: 3},
		"program, 2, 1": {Program: zstdProgram, FramePieces: 2, Level: 1},
	} {
		for _, size := range []int{1, document.PieceSize, 3*document.PieceSize + 3} {
			raw := imagetest.Bytes(byte(size), max(size, 2))[:size]
			blobs, err := blob.OpenDir(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			var last int64
			e.Progress = func(raw, _ int64) { last = raw }
			// The reader gives short reads, as a pipe does.
			got, err := e.Encode(t.Context(), iotest.HalfReader(bytes.NewReader(raw)), blobs)
			if err != nil {
				t.Fatalf("%s: Encode of %d bytes: %v", name, size, err)
			}
			if got.Raw != int64(size) || last != got.Raw || int64(len(got.Pieces)) != document.PieceCount(got.Raw) {
				t.Errorf("%s: Encode of %d bytes = %d bytes in %d pieces, %d told", name, size, got.Raw,
					len(got.Pieces), last)
			}
			x, err := ReadIndex(t.Context(), blobs, got.Index)
			if err != nil {
				t.Fatal(err)
			}
			want := (len(got.Pieces) + max(e.FramePieces, 1) - 1) / max(e.FramePieces, 1)
			if len(x.Frames) != want || x.Size != got.Wire {
				t.Errorf("%s: %d frames of %d bytes, want %d of %d", name, len(x.Frames), x.Size, want, got.Wire)
			}
			// The stock program decodes the whole.
			enc, err := blob.ReadAll(t.Context(), blobs, x.Encoding, x.Size)
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(zstdProgram, "-dc")
			cmd.Stdin = bytes.NewReader(enc)
			if out, err := cmd.Output(); err != nil || !bytes.Equal(out, raw) {
				t.Errorf("%s: zstd -d of %d bytes = %d bytes, %v", name, size, len(out), err)
			}
		}
	}
}

func TestEncodeFails(t *testing.T) {
	blobs, err := blob.OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("the source broke off")
	src := func() io.Reader {
		return io.MultiReader(bytes.NewReader(make([]byte, 3*document.PieceSize)), iotest.ErrReader(broken))
	}
	if _, err := (Encoder{}).Encode(t.Context(), src(), blobs); !errors.Is(err, broken) {
		t.Errorf("Encode of a source that breaks off = %v, want %v", err, broken)
	}
	if _, err := (Encoder{}).Encode(t.Context(), bytes.NewReader(nil), blobs); err == nil {
		t.Error("Encode of nothing gave no error")
	}
	if _, err := (Encoder{Program: "/nonexistent/zstd"}).Encode(t.Context(), bytes.NewReader(make([]byte, 100)),
		blobs); err == nil {
		t.Error("Encode with a program that is not there gave no error")
	}
	if _, err := (Encoder{Level: 99, FramePieces: 99, Workers: -1}).Encode(t.Context(),
		bytes.NewReader(make([]byte, 100)), blobs); err == nil {
		t.Error("Encode with bad options gave no error")
	}
	full := putFails{blobs, errors.New("no space left")}
	if _, err := (Encoder{}).Encode(t.Context(), bytes.NewReader(imagetest.Bytes(3, 10*document.PieceSize)),
		full); !errors.Is(err, full.err) {
		t.Errorf("Encode into a full store = %v, want %v", err, full.err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (Encoder{}).Encode(ctx, bytes.NewReader(make([]byte, 100*document.PieceSize)),
		blobs); !errors.Is(err, context.Canceled) {
		t.Errorf("Encode with a cancelled context = %v", err)
	}
	if err := blobs.List(t.Context(), func(i blob.Info) error {
		t.Errorf("there is %s", i.Digest)
		return nil
	}); err != nil {
		t.Error(err)
	}
}

// putFails takes a little and then no more, as a full disk does.
type putFails struct {
	blob.Store
	err error
}

func (p putFails) Put(_ context.Context, r io.Reader, _ blob.Digest) (blob.Digest, int64, error) {
	io.CopyN(io.Discard, r, 1<<20)
	return "", 0, p.err
}

func FuzzParseIndex(f *testing.F) {
	f.Add([]byte(`{"format":"griddle-index/1","encoding":"` + string(blob.Sum(nil)) +
		`","size":5,"raw":9,"pieceSize":8388608,"frames":[{"offset":0,"length":5,"pieces":1,"sha256":"` +
		blob.Sum(nil).Hex() + `"}]}`))
	f.Add([]byte(
		`{"format":"griddle-index/1","frames":[{"length":9223372036854775807,"pieces":4},{"length":9223372036854775807,"pieces":4}]}`))
	f.Add([]byte(`{"format":"griddle-index/2","encoding":"` + string(blob.Sum(nil)) +
		`","size":5,"raw":9,"pieceSize":8388608,"level":19,"frames":[{"offset":0,"length":5,"pieces":1,"sha256":"` +
		blob.Sum(nil).Hex() +
		`","dict":[{"path":"usr/bin/x","offset":7,"length":33554431},{"path":"y","length":1}]}]}`))
	f.Add([]byte(
		`{"format":"griddle-index/2","frames":[{"dict":[{"path":"../x","length":9223372036854775807},{"path":"/x","offset":-1}]}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := ParseIndex(b)
		if err != nil {
			return
		}
		var size, pieces int64
		for _, fr := range x.Frames {
			dict := int64(0)
			for _, e := range fr.Dictionary {
				if dict += e.Length; e.Length <= 0 || e.Offset < 0 || !filepath.IsLocal(e.Path) {
					t.Errorf("ParseIndex accepted the extract %+v", e)
				}
			}
			if dict > MaxDictionary || dict > 0 && x.Format == Format {
				t.Errorf("ParseIndex accepted a dictionary of %d bytes in format %q", dict, x.Format)
			}
			size += fr.Length
			pieces += int64(fr.Pieces)
		}
		if size != x.Size || pieces != document.PieceCount(x.Raw) || x.Raw <= 0 || x.Size <= 0 {
			t.Errorf("ParseIndex accepted %q", b)
		}
	})
}

// BenchmarkEncode encodes one input with both of our encoders and with `zstd -3 -T0`, in turn, and reports our time and
// bytes as multiples of the program's. The input is the tar of /usr/lib's shared objects and programs, or
// GRIDDLE_BENCH_STREAM.
func BenchmarkEncode(b *testing.B) {
	zstdProgram := imagetest.Need(b, "zstd")
	path := os.Getenv("GRIDDLE_BENCH_STREAM")
	if path == "" {
		path = filepath.Join(b.TempDir(), "input")
		f, err := os.Create(path)
		if err != nil {
			b.Fatal(err)
		}
		cmd := exec.Command("sh",
			"-c", "tar -C / -cf - usr/bin usr/lib/x86_64-linux-gnu usr/share/doc 2>/dev/null | head -c 320000000")
		cmd.Stdout = f
		if err := cmd.Run(); err != nil {
			b.Fatal(err)
		}
		f.Close()
	}
	input, err := os.ReadFile(path)
	if err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	blobs, err := blob.OpenDir(dir)
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name string
		e    Encoder
	}{{"go", Encoder{}}, {"program", Encoder{Program: zstdProgram}}} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(input)))
			var ours, theirs time.Duration
			var wire, peer int64
			for b.Loop() {
				start := time.Now()
				cmd := exec.Command(zstdProgram, "-3", "-T0", "-q", "-f", "-o", filepath.Join(dir, "peer.zst"))
				cmd.Stdin = bytes.NewReader(input)
				if out, err := cmd.CombinedOutput(); err != nil {
					b.Fatalf("%v: %s", err, out)
				}
				theirs += time.Since(start)
				i, err := os.Stat(filepath.Join(dir, "peer.zst"))
				if err != nil {
					b.Fatal(err)
				}
				peer = i.Size()
				start = time.Now()
				got, err := c.e.Encode(b.Context(), struct{ io.Reader }{bytes.NewReader(input)}, blobs)
				if err != nil {
					b.Fatal(err)
				}
				ours += time.Since(start)
				wire = got.Wire
			}
			b.ReportMetric(float64(ours)/float64(theirs), "time/zstd-3")
			b.ReportMetric(float64(wire)/float64(peer), "bytes/zstd-3")
		})
	}
}
