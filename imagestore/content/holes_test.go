package content

import (
	"bytes"
	"context"
	"crypto/sha256"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// TestStored adds up what files take: a hole of a tebibyte counts nothing, and is not read.
func TestStored(t *testing.T) {
	dir := t.TempDir()
	files := map[string][]int64{"lastlog": {0, 1 << 39}, "hole": nil, "small": {0}}
	var m Manifest
	m.Entries = append(m.Entries, Entry{Path: ".", Type: Directory})
	for _, name := range []string{"hole", "lastlog", "small"} {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		size := int64(1 << 40)
		if name == "small" {
			size = 4096
		}
		for _, at := range files[name] {
			if _, err := f.WriteAt(bytes.Repeat([]byte("x"), 4096), at); err != nil {
				t.Fatal(err)
			}
		}
		if err := f.Truncate(size); err != nil {
			t.Fatal(err)
		}
		f.Close()
		m.Entries = append(m.Entries, Entry{Path: name, Type: Regular, Size: size})
	}
	n, err := Stored(t.Context(), dir, &m)
	if err != nil || n < 3*4096 || n > 1<<20 {
		t.Errorf("Stored = %d, %v, want about %d", n, err, 3*4096)
	}
}

// TestHashHoles compares sums of files with holes at the edges of blocks and buffers with those of what they read as.
func TestHashHoles(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 40 {
		path := filepath.Join(t.TempDir(), "f")
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		size := r.Int64N(3 << 20)
		for range r.IntN(5) {
			f.WriteAt(bytes.Repeat([]byte{byte(i + 1)}, r.IntN(90_000)), r.Int64N(size+1))
		}
		if i%2 == 0 {
			f.Truncate(size)
		}
		f.Close()
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if f, err = os.Open(path); err != nil {
			t.Fatal(err)
		}
		counted := 0
		sum, n, err := hashFile(context.Background(), f, make([]byte, 70_000), func(k int) { counted += k })
		f.Close()
		if err != nil || n != int64(len(b)) || counted != len(b) || sum != sha256.Sum256(b) {
			t.Errorf("hashFile = %x, %d, %v, counted %d; want %x, %d", sum, n, err, counted, sha256.Sum256(b), len(b))
		}
	}
}
