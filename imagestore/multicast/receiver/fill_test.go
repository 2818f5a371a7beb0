package receiver

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"griddle/imagestore/blob"
	"griddle/imagestore/multicast"
	"griddle/imagestore/multicast/sourcetest"
)

// blocksOf is a Download of data with the hashes of its blocks.
func blocksOf(t *testing.T, data []byte, memory int64, sources ...blob.Reader) *Download {
	t.Helper()
	d, err := New(Options{Encoding: blob.Sum(data), Size: int64(len(data)), HTTP: sources, Layout: smallLayout,
		Memory: memory})
	if err != nil {
		t.Fatal(err)
	}
	if d.hashes, err = multicast.HashBlocks(bytes.NewReader(data), smallLayout); err != nil {
		t.Fatal(err)
	}
	return d
}

// drained fills and reads all of d.
func drained(ctx context.Context, d *Download) ([]byte, error) {
	filled := make(chan error, 1)
	go func() {
		err := d.Fill(ctx, nil)
		d.End(err)
		filled <- err
	}()
	b, _ := io.ReadAll(d)
	return b, <-filled
}

// What is fetched is what is missing, in as few requests as there are gaps.
func TestFillAsksForGaps(t *testing.T) {
	data := sourcetest.Random(9*512 + 100)
	src := &sourcetest.Scripted{Data: data}
	d := blocksOf(t, data, 1<<20, src)
	defer d.Close()
	for _, i := range []int{2, 5, 6} {
		d.buffer.put(i, data[i*512:(i+1)*512])
	}
	if b, err := drained(t.Context(), d); err != nil || !bytes.Equal(b, data) {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	if want := []string{"0+1024", "1536+1024", "3584+-1"}; !slices.Equal(src.Opens(), want) {
		t.Errorf("it asked for %v, want %v", src.Opens(), want)
	}
}

// Some blocks alone: those, and nothing else.
func TestFillSome(t *testing.T) {
	data := sourcetest.Random(9*512 + 100)
	src := &sourcetest.Scripted{Data: data}
	d := blocksOf(t, data, 1<<20, src)
	defer d.Close()
	if err := d.Fill(t.Context(), func(i int) bool { return i == 3 || i == 4 || i == 9 }); err != nil {
		t.Error(err)
	}
	if want := []string{"1536+1024", "4608+-1"}; !slices.Equal(src.Opens(), want) || d.Missing() != 7 {
		t.Errorf("it asked for %v, want %v; %d are missing", src.Opens(), want, d.Missing())
	}
}

// A reader that is slower than the source holds it back; the request stays the one that it was.
func TestFillSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := sourcetest.Random(100 * 512)
		src := &sourcetest.Scripted{Data: data}
		d := blocksOf(t, data, 4*512, src)
		defer d.Close()
		done := make(chan error, 1)
		go func() { done <- d.Fill(t.Context(), nil) }()
		var b bytes.Buffer
		for b.Len() < len(data) {
			time.Sleep(time.Minute) // longer than a source may be silent
			if _, err := io.CopyN(&b, d, 512); err != nil {
				t.Fatal(err)
			}
			d.buffer.mu.Lock()
			n := len(d.buffer.memory)
			d.buffer.mu.Unlock()
			if n > 4 {
				t.Fatalf("%d blocks are in memory", n)
			}
		}
		if err := <-done; err != nil || !bytes.Equal(b.Bytes(), data) {
			t.Errorf("%d bytes, %v", b.Len(), err)
		}
		if len(src.Opens()) != 1 {
			t.Errorf("it asked for %v", src.Opens())
		}
	})
}

func TestFillTrouble(t *testing.T) {
	data := sourcetest.Random(5*512 + 100)
	wrong := bytes.Clone(data)
	wrong[2*512] ^= 1
	away := errors.New("no route to host")
	from := func(b []byte) func(int, int64, int64) (io.Reader, error) {
		return func(_ int, off, _ int64) (io.Reader, error) { return bytes.NewReader(b[min(off, int64(len(b))):]), nil }
	}
	fails := func(err error) func(int, int64, int64) (io.Reader, error) {
		return func(int, int64, int64) (io.Reader, error) { return nil, err }
	}
	for _, c := range []struct {
		name   string
		first  func(i int, off, n int64) (io.Reader, error)
		second func(i int, off, n int64) (io.Reader, error)
		want   error
		asked  int // of the first, at most
	}{
		{"away for a while", func(i int, _, _ int64) (io.Reader, error) {
			if i < 100 {
				return nil, away
			}
			return nil, nil
		}, fails(away), nil, 101},
		{"the second has it", fails(away), nil, nil, 1},
		{"the first is silent", func(int, int64, int64) (io.Reader, error) { return sourcetest.Silent, nil },
			nil, nil, 1},
		{"wrong at the first", from(wrong), nil, nil, 2},
		{"broken off, and whole the next time", func(i int, off, _ int64) (io.Reader, error) {
			if i == 0 {
				return io.MultiReader(bytes.NewReader(data[off:1500]), iotest.ErrReader(away)), nil
			}
			return nil, nil
		}, fails(away), nil, 2},
		{"wrong everywhere", from(wrong), from(wrong), blob.ErrMismatch, 4},
		{"short everywhere", from(data[:700]), from(data[:700]), blob.ErrMismatch, 4},
		{"nowhere", fails(blob.ErrNotExist), fails(blob.ErrNotExist), blob.ErrNotExist, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				first, second := &sourcetest.Scripted{Data: data, Script: c.first},
					&sourcetest.Scripted{Data: data, Script: c.second}
				d := blocksOf(t, data, 1<<20, first, second)
				defer d.Close()
				var told []int
				d.o.Retry = func(err error, attempt int) {
					if err == nil {
						t.Error("it is tried again, and nothing failed")
					}
					told = append(told, attempt)
				}
				b, err := drained(t.Context(), d)
				if len(told) == 0 || told[0] != 1 || slices.Max(told) > len(told) {
					t.Errorf("told of attempts %v", told)
				}
				if !errors.Is(err, c.want) || c.want == nil && !bytes.Equal(b, data) || !bytes.Equal(b, data[:len(b)]) {
					t.Errorf("%d bytes, %v; want %v", len(b), err, c.want)
				}
				if len(first.Opens()) > c.asked {
					t.Errorf("the first was asked for %s", strings.Join(first.Opens(), " "))
				}
			})
		})
	}
}
