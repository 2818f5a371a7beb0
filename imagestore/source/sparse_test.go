package source

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"griddle/imagestore/source/sourcetest"
)

// TestHugeHole copies a directory with a file of 4 TiB that has 8 KiB of data, as a lastlog may. To read the hole, or
// to hash it, would take hours.
func TestHugeHole(t *testing.T) {
	dir := filepath.Join(sourcetest.Tmpfs(t), "tree")
	f := func() *os.File {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		f, err := os.Create(filepath.Join(dir, "lastlog"))
		if err != nil {
			t.Fatal(err)
		}
		return f
	}()
	for _, at := range []int64{0, 3 << 40} {
		if _, err := f.WriteAt(make([]byte, 4096), at); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Truncate(4 << 40); err != nil {
		t.Fatal(err)
	}
	f.Close()
	s, err := Find(t.Context(), "dir:"+dir, Options{Spool: filepath.Join(sourcetest.Tmpfs(t), "spool")})
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.Take(t.Context(), "web@1@amd64", func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Discard()
	var st unix.Stat_t
	if err := unix.Stat(filepath.Join(c.Dir, "lastlog"), &st); err != nil || st.Size != 4<<40 || st.Blocks*512 > 1<<20 {
		t.Errorf("the copy has %d bytes in %d blocks, %v", st.Size, st.Blocks, err)
	}
	if c.Bytes > 1<<20 {
		t.Errorf("the copy's stream is said to have %d bytes", c.Bytes)
	}
}
