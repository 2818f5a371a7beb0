package entries

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
)

const mib = 1 << 20

// memory is a disk in memory, whose power can be cut.
type memory struct {
	b []byte
	// left is how many writes succeed, all if negative; torn is what of the next one is written: "", "first" or
	// "second" half.
	left   int
	torn   string
	synced bool
	writes []int64 // where they began
}

var errCut = errors.New("power cut")

func onDisk(b []byte) *memory { return &memory{b: bytes.Clone(b), left: -1, synced: true} }

func (m *memory) ReadAt(b []byte, at int64) (int, error) {
	if at < 0 || at >= int64(len(m.b)) {
		return 0, io.EOF
	}
	n := copy(b, m.b[at:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (m *memory) WriteAt(b []byte, at int64) (int, error) {
	if !m.synced {
		return 0, errors.New("the last write was not synced")
	}
	if m.left == 0 {
		// A disk writes a sector whole or not at all.
		if half := len(b) / 2 / 512 * 512; m.torn == "first" {
			copy(m.b[at:], b[:half])
		} else if m.torn == "second" {
			copy(m.b[at+int64(half):], b[half:])
		}
		return 0, errCut
	}
	m.left--
	m.synced = false
	m.writes = append(m.writes, at)
	return copy(m.b[at:], b), nil
}

func (m *memory) Sync() error { m.synced = true; return nil }

// noise is a disk full of bytes that no one must change.
func noise(size int64) []byte {
	b := make([]byte, size)
	r := rand.NewChaCha8([32]byte{1})
	r.Read(b)
	return b
}

// differs lists the bytes in which two disks differ, as ranges that are less than 8 bytes apart.
func differs(a, b []byte) (out [][2]int) {
	for i := range a {
		if a[i] == b[i] {
			continue
		}
		if n := len(out); n > 0 && i < out[n-1][1]+8 {
			out[n-1][1] = i + 1
		} else {
			out = append(out, [2]int{i, i + 1})
		}
	}
	return out
}

func must[T any](v T, err error) func(t testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func ok(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}
