package imagestore_test

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"griddle/imagestore"
	"griddle/imagestore/imagetest"
	"griddle/imagestore/ref"
	"griddle/imagestore/source"
	"griddle/imagestore/source/sourcetest"
)

// TestHolesSurvive publishes a tree with files of 40 MiB that have some blocks each: of a btrfs snapshot, of a
// directory, and of a sparse tar archive. What is received, on any filesystem, takes about what the source takes.
func TestHolesSurvive(t *testing.T) {
	ctx := context.Background()
	p := newPublisher(t)
	spool := t.TempDir()
	p.must(os.RemoveAll(filepath.Join(p.dir, "big")))
	for name, at := range map[string][]int64{"none": nil, "begin": {0}, "middle": {12 << 20, 30 << 20},
		"end": {40<<20 - 4096}} {
		f, err := os.Create(filepath.Join(p.dir, name))
		p.must(err)
		for _, off := range at {
			_, err := f.WriteAt(imagetest.Words(uint64(off), 4096), off)
			p.must(err)
		}
		p.must(f.Truncate(40 << 20))
		p.must(f.Close())
	}
	sourcetest.Run(t, "sync", "-f", p.dir)
	want := taken(t, p.dir)
	if want > 8<<20 {
		t.Fatalf("the source itself takes %d bytes", want)
	}
	publish := func(name string, o source.Options) ref.Ref {
		t.Helper()
		var err error
		p.o.Source, err = source.Find(ctx, name, o)
		p.must(err)
		p.o.Ref.Name, p.o.Ref.Arch = "from-"+name[:3], "amd64"
		var copying int64
		p.o.Progress = func(f imagestore.PublishedSoFar) { copying = max(copying, f.Total) }
		out := p.publish()
		if out.Size > want+1<<20 || copying > want+1<<20 {
			t.Errorf("the image of %s has %d bytes and its progress goes to %d, and its source takes %d", name,
				out.Size, copying, want)
		}
		return imagetest.Ref(t, out.Ref)
	}
	plain := filepath.Join(t.TempDir(), "plain")
	refs := []ref.Ref{publish("btrfs:"+p.dir, source.Options{})}
	sourcetest.Run(t, "cp", "-a", "--sparse=always", p.dir, plain)
	refs = append(refs, publish("dir:"+plain, source.Options{Spool: spool}))
	file := filepath.Join(t.TempDir(), "a.tar")
	sourcetest.Run(t, "tar", "-C", plain, "-cSf", file, ".")
	refs = append(refs, publish("tar:"+file, source.Options{Spool: spool}))
	for name, dir := range map[string]string{"btrfs": sourcetest.Btrfs(t),
		"ext4": sourcetest.Filesystem(t, "ext4", 1<<30)} {
		for _, r := range refs {
			got, err := p.store.Receive(ctx, r, dir, imagestore.ReceiveOptions{})
			p.must(err)
			if n := taken(t, got.Path); n > want+1<<20 {
				t.Errorf("%s on %s takes %d bytes, and its source %d", r, name, n, want)
			}
		}
	}
}

// taken is the room that a tree's files take, in bytes.
func taken(t *testing.T, dir string) (n int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		var st unix.Stat_t
		if err == nil {
			err = unix.Lstat(path, &st)
		}
		if err == nil && d.Type().IsRegular() {
			n += st.Blocks * 512
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
