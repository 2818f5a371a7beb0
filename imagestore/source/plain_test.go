package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"griddle/imagestore/content"
	"griddle/imagestore/sendstream"
	"griddle/imagestore/source/sourcetest"

	"golang.org/x/sys/unix"
)

// walked is what a tree holds, as text, and the blocks of its files that have holes.
func walked(t *testing.T, dir string) string {
	t.Helper()
	m, err := content.Walk(context.Background(), dir)
	must(t, err)
	var b bytes.Buffer
	_, err = m.WriteTo(&b)
	must(t, err)
	for _, name := range []string{"hole", "pieces", "tail"} {
		var st unix.Stat_t
		if unix.Lstat(filepath.Join(dir, name), &st) == nil {
			fmt.Fprintf(&b, "%s takes %d KiB\n", name, st.Blocks/2)
		}
	}
	return b.String()
}

// sameText shows the lines in which two texts differ.
func sameText(t *testing.T, what, got, want string) {
	t.Helper()
	if got == want {
		return
	}
	in := func(text string) map[string]bool {
		all := map[string]bool{}
		for line := range strings.Lines(text) {
			all[line] = true
		}
		return all
	}
	had, wanted := in(got), in(want)
	n := 0
	for line := range strings.Lines(got) {
		if !wanted[line] && n < 10 {
			n++
			t.Errorf("%s: got  %.300s", what, line)
		}
	}
	for line := range strings.Lines(want) {
		if !had[line] && n < 20 {
			n++
			t.Errorf("%s: want %.300s", what, line)
		}
	}
}

// taken takes a copy of a source, which is discarded when the test ends.
func taken(t *testing.T, spec string, o Options) *Copy {
	t.Helper()
	if o.Spool == "" {
		o.Spool = filepath.Join(t.TempDir(), "spool")
	}
	s, err := Find(context.Background(), spec, o)
	must(t, err)
	c, err := s.Take(context.Background(), "copy", func(w string) { t.Errorf("%s: warned: %s", spec, w) })
	must(t, err)
	t.Cleanup(func() {
		must(t, c.Discard())
		if exists(c.Dir) {
			t.Errorf("%s is still there", c.Dir)
		}
	})
	return c
}

func TestPlainCopiesAreExact(t *testing.T) {
	base := t.TempDir()
	tree := filepath.Join(base, "tree")
	sourcetest.Plant(t, tree)
	want := walked(t, tree)
	archive := filepath.Join(base, "tree.tar")
	sourcetest.Run(t, "tar", "-C", tree, "--format=pax", "--xattrs", "--xattrs-include=*", "--acls", "--sparse",
		"--numeric-owner", "-cf", archive, ".")
	sourcetest.Run(t, "zstd", "-q", archive)
	incoming, err := os.Open(archive + ".zst")
	must(t, err)
	defer incoming.Close()
	for _, spec := range []string{"dir:" + tree, "tar:" + archive, "tar:-"} {
		var told, about int64
		c := taken(t, spec, Options{Stdin: incoming, Progress: func(done, total int64) {
			if done <= told {
				t.Errorf("%s: told of %d bytes after %d", spec, done, told)
			}
			told, about = done, total
		}})
		if told != c.Bytes || (about > 0) != strings.HasPrefix(spec, "dir:") {
			t.Errorf("%s: told of %d bytes, of about %d, want %d", spec, told, about, c.Bytes)
		}
		if c.Snapshot || c.UUID.IsZero() || c.Ctransid != 1 {
			t.Errorf("%s: %+v", spec, c)
		}
		sameText(t, spec, walked(t, c.Dir), want)
	}
}

// TestPlainOnBtrfs makes a plain copy on a file system that could do more, from a directory that is not a subvolume.
func TestPlainOnBtrfs(t *testing.T) {
	mnt := sourcetest.Btrfs(t)
	tree := filepath.Join(mnt, "tree")
	sourcetest.Plant(t, tree)
	c := taken(t, "dir:"+tree, Options{Spool: filepath.Join(mnt, "spool")})
	sameText(t, "on btrfs", walked(t, c.Dir), walked(t, tree))
	sourcetest.Run(t, "btrfs", "-q", "subvolume", "create", filepath.Join(mnt, "sub"))
	sourcetest.Plant(t, filepath.Join(mnt, "sub/tree"))
	snapshot := taken(t, "dir:"+filepath.Join(mnt, "sub"), Options{})
	if !snapshot.Snapshot {
		t.Errorf("a subvolume became %+v", snapshot)
	}
	sameText(t, "of a subvolume", walked(t, snapshot.Dir), walked(t, filepath.Join(mnt, "sub")))
	// the root of a mount is a subvolume too
	s, err := Find(context.Background(), "dir:"+filepath.Join(mnt), Options{Spool: t.TempDir()})
	if err != nil || s.make != nil {
		t.Errorf("Find of a mount's root = %+v, %v", s, err)
	}
	sourcetest.Run(t, "btrfs", "-q", "subvolume", "create", filepath.Join(tree, "etc/nested"))
	s, err = Find(context.Background(), "dir:"+tree, Options{Spool: t.TempDir()})
	must(t, err)
	if _, err := s.Take(context.Background(), "x", quiet); !errors.Is(err, ErrUnsuitable) ||
		!strings.Contains(err.Error(), tree+"/etc/nested is a nested subvolume") {
		t.Errorf("Take with a nested subvolume = %v", err)
	}
}

// TestMountsAreLeftOut copies a directory with another file system in it: what that covers is copied.
func TestMountsAreLeftOut(t *testing.T) {
	tree := filepath.Join(t.TempDir(), "tree with a blank")
	must(t, os.MkdirAll(filepath.Join(tree, "proc"), 0o555),
		os.WriteFile(filepath.Join(tree, "proc/covered"), []byte("x"), 0o644))
	sourcetest.Run(t, "mount", "-t", "tmpfs", "-o", "mode=700", "none", filepath.Join(tree, "proc"))
	t.Cleanup(func() { sourcetest.Run(t, "umount", filepath.Join(tree, "proc")) })
	must(t, os.WriteFile(filepath.Join(tree, "proc/secret"), nil, 0o644))
	s, err := Find(context.Background(), "dir:"+tree, Options{Spool: t.TempDir()})
	must(t, err)
	var warned []string
	c, err := s.Take(context.Background(), "x", func(w string) { warned = append(warned, w) })
	must(t, err)
	defer c.Discard()
	if want := tree + "/proc is another filesystem, and is not part of the image"; len(warned) != 1 ||
		warned[0] != want {
		t.Errorf("warned %q, want %q", warned, want)
	}
	if got := listing(t, filepath.Join(c.Dir, "proc")); fmt.Sprint(got) != "[covered]" {
		t.Errorf("proc holds %v", got)
	}
	if fi, err := os.Stat(filepath.Join(c.Dir, "proc")); err != nil || fi.Mode().Perm() != 0o555 {
		t.Errorf("proc is %v, %v", fi.Mode(), err)
	}
}

// changing is a file system's view that changes a file once it was looked at.
func TestChangesAreNoticed(t *testing.T) {
	tree := filepath.Join(t.TempDir(), "tree")
	must(t, os.MkdirAll(filepath.Join(tree, "a"), 0o755),
		os.WriteFile(filepath.Join(tree, "a/log"), []byte("one"), 0o644))
	open := (&directory{dir: tree}).open
	c := &Copy{Name: "x", UUID: sendstream.UUID{1}, Ctransid: 1}
	for name, change := range map[string]func() error{
		"a/log": func() error { return os.WriteFile(filepath.Join(tree, "a/log"), []byte("two"), 0o644) },
		"a/new": func() error { return os.WriteFile(filepath.Join(tree, "a/new"), nil, 0o644) },
		"a":     func() error { return os.Chmod(filepath.Join(tree, "a"), 0o700) },
	} {
		// The stream's last byte comes before the second look.
		var raw int
		w := writerFunc(func(p []byte) (int, error) {
			if raw += len(p); change != nil {
				must(t, change())
				change = nil
			}
			return len(p), nil
		})
		if err := writeTree(context.Background(), w, c, open); !errors.Is(err, ErrChanged) ||
			!strings.Contains(err.Error(), filepath.Join(tree, name)) {
			t.Errorf("%s changes: %v", name, err)
		}
	}
	if err := writeTree(context.Background(), io.Discard, c, open); err != nil {
		t.Errorf("nothing changes: %v", err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestPlainCopiesGoAway(t *testing.T) {
	ctx := context.Background()
	tree, spool := t.TempDir(), filepath.Join(t.TempDir(), "spool")
	must(t, os.WriteFile(filepath.Join(tree, "file"), []byte("x"), 0o644))
	s, err := Find(ctx, "dir:"+tree, Options{Spool: spool})
	must(t, err)
	alive, err := s.Take(ctx, "alive", quiet)
	must(t, err)
	dead, err := s.Take(ctx, "dead", quiet)
	must(t, err, dead.lock.Close(), os.Mkdir(filepath.Join(spool, ".griddle-incoming-x"), 0o700))
	if _, err := s.Take(ctx, "alive", quiet); !errors.Is(err, ErrBusy) {
		t.Errorf("Take of a name that is at work = %v, want ErrBusy", err)
	}
	must(t, s.Collect(ctx, func(sendstream.UUID, uint64) bool { return true }))
	if got := fmt.Sprint(listing(t, spool)); got != "[alive alive.publishing]" {
		t.Errorf("Collect left %v", got)
	}
	if c, err := s.Kept(alive.UUID, 1); c != nil || err != nil {
		t.Errorf("Kept = %v, %v", c, err)
	}
	must(t, alive.Keep())
	if got := listing(t, spool); len(got) > 0 {
		t.Errorf("Keep left %v", got)
	}
}

func TestPrepare(t *testing.T) {
	tree := t.TempDir()
	must(t, os.WriteFile(filepath.Join(tree, "machine-id"), []byte("x"), 0o644))
	o := Options{Spool: filepath.Join(t.TempDir(), "spool"), Prepare: func(_ context.Context, dir string) error {
		return os.Truncate(filepath.Join(dir, "machine-id"), 0)
	}}
	c := taken(t, "dir:"+tree, o)
	if fi, err := os.Stat(filepath.Join(c.Dir, "machine-id")); err != nil || fi.Size() != 0 {
		t.Errorf("the copy was not prepared: %v, %v", fi, err)
	}
	no := errors.New("no")
	o.Prepare = func(context.Context, string) error { return no }
	s, err := Find(context.Background(), "dir:"+tree, o)
	must(t, err)
	if _, err := s.Take(context.Background(), "x", quiet); !errors.Is(err, no) {
		t.Errorf("Take = %v, want what Prepare said", err)
	}
	if got := fmt.Sprint(listing(t, s.keep)); got != "[copy copy.publishing]" {
		t.Errorf("then there is %s", got)
	}
}

func TestPlainRefuses(t *testing.T) {
	ctx := context.Background()
	base := t.TempDir()
	small := filepath.Join(base, "small")
	must(t, os.Mkdir(small, 0o700))
	sourcetest.Run(t, "mount", "-t", "tmpfs", "-o", "mode=700,size=4m", "none", small)
	t.Cleanup(func() { sourcetest.Run(t, "umount", small) })
	tree := filepath.Join(base, "tree")
	must(t, os.Mkdir(tree, 0o755), os.WriteFile(filepath.Join(tree, "file"), bytes.Repeat([]byte("x"), 8<<20), 0o644))
	sourcetest.Run(t, "tar", "-C", tree, "-czf", filepath.Join(base, "bomb.tgz"), ".")
	open := filepath.Join(base, "open")
	must(t, os.Mkdir(open, 0o777), os.Chmod(open, 0o777))
	for _, tt := range []struct{ spec, spool, want string }{
		{"dir:" + tree, small, " KiB, and " + small + " has 4096 KiB free"},
		{"tar:" + filepath.Join(base, "bomb.tgz"), small, "bytes; there is not more room for the copy"},
		{"dir:" + tree, open, "is not a directory that only its owner, user 0, can write"},
	} {
		s, err := Find(ctx, tt.spec, Options{Spool: tt.spool})
		must(t, err)
		if _, err := s.Take(ctx, "x", quiet); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Take of %s = %v, want %q", tt.spec, err, tt.want)
		}
		if got := listing(t, tt.spool); len(got) > 0 {
			t.Errorf("%s left %v", tt.spec, got)
		}
	}
	s, err := Find(ctx, "tar:-", Options{Spool: filepath.Join(base, "spool"), Stdin: strings.NewReader("hello")})
	must(t, err)
	for _, want := range []string{"malformed archive", "standard input was read before"} {
		if _, err := s.Take(ctx, "x", quiet); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Take = %v, want %q", err, want)
		}
	}
}

// TestCancelledInput ends a copy whose input never comes.
func TestCancelledInput(t *testing.T) {
	r, w := io.Pipe()
	defer w.Close()
	ctx, cancel := context.WithCancel(context.Background())
	s, err := Find(ctx, "tar:-",
		Options{Spool: filepath.Join(t.TempDir(), "spool"), Stdin: readerFunc(func(p []byte) (int, error) {
			cancel()
			return r.Read(p)
		})})
	must(t, err)
	if _, err := s.Take(ctx, "x", quiet); !errors.Is(err, context.Canceled) {
		t.Errorf("Take = %v, want %v", err, context.Canceled)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestPackedByGo reads what archive/tar's own users write: xattrs in PAX records, no sparse files.
func TestNamesInACLs(t *testing.T) {
	tree := t.TempDir()
	must(t, os.Mkdir(filepath.Join(tree, "log"), 0o750))
	sourcetest.Run(t, "setfacl", "-m", "g:adm:r-x,u:daemon:rwx", filepath.Join(tree, "log"))
	cmd := exec.Command("tar", "-C", tree, "--acls", "-c", ".")
	cmd.Stderr = os.Stderr
	archive, err := cmd.Output()
	must(t, err)
	if !bytes.Contains(archive, []byte("group:adm:r-x")) {
		t.Fatal("tar writes no names in ACLs")
	}
	c := taken(t, "tar:-", Options{Stdin: bytes.NewReader(archive)})
	got, want := sourcetest.Run(t, "getfacl", "-cn", filepath.Join(c.Dir, "log")),
		sourcetest.Run(t, "getfacl", "-cn", filepath.Join(tree, "log"))
	if got != want {
		t.Errorf("the ACL is %s, want %s", got, want)
	}
}
