package imagestore_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"griddle/imagestore"
	"griddle/imagestore/catalog"
	"griddle/imagestore/imagetest"
	"griddle/imagestore/mirror"
	"griddle/imagestore/source/sourcetest"
)

// readStoreDir has the test program read the store that it names, as a user to whom it does not belong.
const readStoreDir = "GRIDDLE_TEST_READ_STORE"

// readAll does with a store what needs no right to write: list, show, verify, stream, pull.
func readAll(t *testing.T, s *imagestore.Store, images int) {
	t.Helper()
	ctx := context.Background()
	list, err := s.List(ctx)
	if err != nil || len(list) != images {
		t.Fatalf("List = %d images, %v, want %d", len(list), err, images)
	}
	for _, l := range list {
		if _, err := s.Show(ctx, l.Parsed()); err != nil {
			t.Errorf("Show(%s): %v", l.Ref, err)
		}
		if err := s.Stream(ctx, l.Parsed(), nil, true, io.Discard); err != nil {
			t.Errorf("Stream(%s): %v", l.Ref, err)
		}
		if v, err := s.Verify(ctx, l.Parsed(), nil); err != nil || !v.OK {
			t.Errorf("Verify(%s) = %+v, %v", l.Ref, v, err)
		}
	}
	if v, err := s.VerifyStore(ctx, imagestore.VerifyStoreOptions{}); err != nil || !v.OK {
		t.Errorf("VerifyStore = %+v, %v", v, err)
	}
	to, err := imagestore.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	trusted, err := s.Trusted(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range trusted.Keys() {
		if err := to.TrustKey(ctx, k); err != nil {
			t.Fatal(err)
		}
	}
	if c, err := mirror.Copy(ctx, to, s, mirror.Options{Images: []string{"*/*"}}); err != nil ||
		len(c.Images) != images {
		t.Errorf("Copy from it = %d images, %v, want %d", len(c.Images), err, images)
	}
}

// unchangeable checks that what would change a store says that it cannot, and why.
func unchangeable(t *testing.T, s *imagestore.Store, why error) {
	t.Helper()
	ctx := context.Background()
	list, err := s.List(ctx)
	if err != nil || len(list) == 0 {
		t.Fatalf("List = %v, %v", list, err)
	}
	_, deleted := s.Delete(ctx, list[0].Parsed())
	_, collected := s.Collect(ctx)
	for what, err := range map[string]error{"Delete": deleted, "Collect": collected,
		"SetKeep": s.SetKeep(ctx, catalog.Keep{Pattern: "web", Last: 1})} {
		if !errors.Is(err, catalog.ErrReadOnly) || !errors.Is(err, why) {
			t.Errorf("%s = %v, want one that is ErrReadOnly and %v", what, err, why)
		}
	}
}

// TestReadOnlyMount reads a store on a read-only mount: nothing of the mount changes, and no tree stays in the spool.
func TestReadOnlyMount(t *testing.T) {
	p := newPublisher(t)
	p.store.Key = p.o.Key
	p.publish()
	p.write("file3", 5000)
	two := imagetest.Ref(t, p.publish().Ref)
	dir := p.store.Dir()
	at := filepath.Join(t.TempDir(), "mounted")
	p.must(os.Mkdir(at, 0o755))
	sourcetest.Run(t, "mount", "--bind", dir, at)
	t.Cleanup(func() { sourcetest.Run(t, "umount", at) })
	sourcetest.Run(t, "mount", "-o", "remount,bind,ro", at)

	s, err := imagestore.OpenExisting(at)
	p.must(err)
	s.Spool = t.TempDir()
	readAll(t, s, 2)
	unchangeable(t, s, unix.EROFS)
	var archive, want bytes.Buffer
	p.must(s.Tar(t.Context(), two, &archive, nil))
	p.must(p.store.Tar(t.Context(), two, &want, nil))
	if !bytes.Equal(archive.Bytes(), want.Bytes()) {
		t.Errorf("the archive of the read-only store has %d bytes, that of the other %d", archive.Len(), want.Len())
	}
	left, err := filepath.Glob(filepath.Join(s.Spool, "*", "*@*"))
	p.must(err)
	trees, err := filepath.Glob(filepath.Join(s.Spool, "*", strings.Repeat("?", 64)))
	p.must(err)
	if len(left)+len(trees) > 0 {
		t.Errorf("the spool still has %v %v", left, trees)
	}
	if _, err := imagestore.OpenExisting(filepath.Dir(at)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("opening a directory without a store = %v, want %v", err, fs.ErrNotExist)
	}
}

// TestSomebodyElsesStore reads a store as a user who may read its files and write none.
func TestSomebodyElsesStore(t *testing.T) {
	if dir := os.Getenv(readStoreDir); dir != "" {
		s, err := imagestore.OpenExisting(dir)
		if err != nil {
			t.Fatal(err)
		}
		readAll(t, s, 1)
		unchangeable(t, s, unix.EACCES)
		return
	}
	f := newFixture(t)
	f.publish("web:1@amd64", way{"", imagetest.Bytes(1, 100_000)})
	open := filepath.Dir(filepath.Dir(f.dir))
	if err := os.Chmod(open, 0o755); err != nil {
		t.Fatal(err)
	}
	own := filepath.Join(open, "own")
	if err := errors.Join(os.Mkdir(own, 0o755), os.Chown(own, 65534, 65534)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestSomebodyElsesStore$", "-test.v")
	cmd.Env = append(os.Environ(), readStoreDir+"="+f.dir, "TMPDIR="+own)
	cmd.Dir = own
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("as user 65534: %v\n%s", err, out)
	}
}
