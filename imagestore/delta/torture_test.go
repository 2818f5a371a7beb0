//go:build torture

package delta_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"griddle/imagestore/delta"
	"griddle/imagestore/source/sourcetest"
)

// TestManyFiles makes streams of a tree with 200,000 files, some of them hard links, and looks at
// the memory that lives.
func TestManyFiles(t *testing.T) {
	dir := sourcetest.Tmpfs(t)
	for d := range 400 {
		sub := filepath.Join(dir, fmt.Sprint("directory-", d))
		if err := os.Mkdir(sub, 0o755); err != nil {
			t.Fatal(err)
		}
		for f := range 500 {
			p := filepath.Join(sub, fmt.Sprint("file-", f))
			var err error
			if f%50 == 49 {
				err = os.Link(filepath.Join(sub, "file-0"), p)
			} else {
				err = os.WriteFile(p, bytes.Repeat([]byte{byte(d), byte(f)}, f), 0o644)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	heap := func() int64 {
		runtime.GC()
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		return int64(s.HeapAlloc)
	}
	before := heap()
	full, again := sha256.New(), sha256.New()
	m, err := delta.WriteFull(t.Context(), full, dir, identity(0, 0), 1, delta.Options{Name: "many"})
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Entries) != 200401 {
		t.Errorf("%d entries, want 200401", len(m.Entries))
	}
	t.Logf("the manifest takes %d bytes a path", (heap()-before)/int64(len(m.Entries)))
	same(t, "Walk and WriteFull", m, walk(t, dir))
	tree := delta.Tree{Dir: dir, Content: m, UUID: identity(0, 0), Ctransid: 1}
	if _, err := delta.WriteTree(t.Context(), again, tree, delta.Options{Name: "many"}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(full.Sum(nil), again.Sum(nil)) {
		t.Error("WriteTree and WriteFull make different streams")
	}
	var none bytes.Buffer
	if _, err := delta.Write(t.Context(), &none, tree, tree, delta.Options{Name: "many"}); err != nil ||
		none.Len() > 1000 {
		t.Errorf("Write = %v with %d bytes, want a short delta", err, none.Len())
	}
}

// TestAgainstReceiversForLong is TestAgainstReceivers with many more trees.
func TestAgainstReceiversForLong(t *testing.T) {
	for seed := uint64(100); seed < 160; seed++ {
		t.Run(fmt.Sprint("seed", seed), func(t *testing.T) { againstReceivers(t, seed) })
	}
}

// TestHugeFile sends a file of more than 4 GiB, nearly all of it holes.
func TestHugeFile(t *testing.T) {
	mnt := sourcetest.Btrfs(t)
	dir := filepath.Join(mnt, "d")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(dir, "huge"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const size = 4<<30 + 77
	for _, at := range []int64{0, 1 << 31, size - 3} {
		if _, err := f.WriteAt([]byte("end"), at); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	if _, err := delta.WriteFull(t.Context(), &b, dir, identity(0, 0), 1, delta.Options{Name: "n"}); err != nil {
		t.Fatal(err)
	}
	if b.Len() > 20000 {
		t.Errorf("the stream has %d bytes", b.Len())
	}
	peer(t, b.Bytes(), mnt)
	var st unix.Stat_t
	if err := unix.Stat(filepath.Join(mnt, "n", "huge"), &st); err != nil || st.Size != size || st.Blocks > 100 {
		t.Errorf("received: %v, %d bytes in %d blocks, want %d bytes and holes", err, st.Size, st.Blocks, int64(size))
	}
}
