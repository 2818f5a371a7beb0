// Package sourcetest has the sources of blobs that the tests of multicast need: good ones, and ones that fail, hang
// or lie.
//
// Memory is a good source. Scripted does what a test says. Hung never answers, and Stuck answers and sends nothing.
package sourcetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/iotest"

	"golang.org/x/sys/unix"

	"griddle/imagestore/blob"
)

// Random is n bytes, the same at each call.
func Random(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{7}).Read(b)
	return b
}

// Memory is a source of one blob, which it gives whatever is asked for. It does not stop at the end of a range.
type Memory []byte

// Open implements blob.Reader.
func (m Memory) Open(_ context.Context, _ blob.Digest, off, _ int64) (io.ReadCloser, error) {
	if off > int64(len(m)) {
		return nil, blob.ErrRange
	}
	return io.NopCloser(bytes.NewReader(m[off:])), nil
}

// Stat implements blob.Reader.
func (m Memory) Stat(context.Context, blob.Digest) (int64, error) { return int64(len(m)), nil }

// Silent has Scripted.Open wait until its context ends.
var Silent = iotest.ErrReader(errors.New("silent"))

// Scripted is a source of Data that does what Script says, and notes what it is asked for.
type Scripted struct {
	Data   []byte
	Script func(i int, off, n int64) (io.Reader, error) // of the i-th Open; nil, or nil and nil from it, give the bytes

	mu    sync.Mutex
	opens []string
}

// Opens are the ranges that were asked for, as "OFFSET+LENGTH".
func (s *Scripted) Opens() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opens
}

// Open implements blob.Reader.
func (s *Scripted) Open(ctx context.Context, _ blob.Digest, off, n int64) (io.ReadCloser, error) {
	s.mu.Lock()
	i := len(s.opens)
	s.opens = append(s.opens, fmt.Sprintf("%d+%d", off, n))
	s.mu.Unlock()
	if s.Script != nil {
		r, err := s.Script(i, off, n)
		if r == Silent {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		if r != nil || err != nil {
			return io.NopCloser(r), err
		}
	}
	b := s.Data[off:]
	if n >= 0 {
		b = b[:n]
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}

// Stat implements blob.Reader.
func (s *Scripted) Stat(context.Context, blob.Digest) (int64, error) { return int64(len(s.Data)), nil }

// Hung is a source that was reached and never answers.
type Hung struct{}

// Open implements blob.Reader.
func (Hung) Open(ctx context.Context, _ blob.Digest, _, _ int64) (io.ReadCloser, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// Stat implements blob.Reader.
func (Hung) Stat(ctx context.Context, _ blob.Digest) (int64, error) {
	<-ctx.Done()
	return 0, ctx.Err()
}

// Stuck answers, and sends nothing after that.
type Stuck []byte

// Open implements blob.Reader.
func (s Stuck) Open(ctx context.Context, _ blob.Digest, _, _ int64) (io.ReadCloser, error) {
	r, w := io.Pipe()
	context.AfterFunc(ctx, func() { w.CloseWithError(ctx.Err()) })
	return r, nil
}

// Stat implements blob.Reader.
func (s Stuck) Stat(context.Context, blob.Digest) (int64, error) { return int64(len(s)), nil }

// SmallFilesystem mounts a tmpfs of a size such as "16k" and returns its directory. It takes root.
func SmallFilesystem(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("griddle-test", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}
