package imagestore_test

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"griddle/imagestore"
	"griddle/imagestore/blob"
	"griddle/imagestore/imagetest"
	"griddle/imagestore/mirror"
	"griddle/imagestore/source/sourcetest"
)

// putIn has the test program put into the store that it names, and then wait to be killed in the middle of a blob.
const putIn = "GRIDDLE_TEST_PUT_IN"

// inStore lists the files of a store that blobs make, and adds up what they take.
func inStore(t *testing.T, dir string) (names []string, size int64) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(dir, "blobs"), func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Base(filepath.Dir(p)) == "writers" {
			return err
		}
		i, err := d.Info()
		if err == nil {
			names, size = append(names, p), size+i.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names, size
}

// TestPullIntoFullDisk pulls two images into a disk that has room for one: what is whole stays, nothing else does.
func TestPullIntoFullDisk(t *testing.T) {
	f := newFixture(t)
	noise := func(seed byte, n int) []byte {
		var b []byte
		for i := byte(0); len(b) < n; i++ {
			b = append(b, imagetest.Bytes(seed+i, 200_000)[:100_000]...)
		}
		return b
	}
	f.publish("web:1@amd64", way{"", noise(1, 1<<20)})
	f.publish("web:2@amd64", way{"", noise(50, 9<<20)})
	dir := t.TempDir()
	sourcetest.Run(t, "mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", dir)
	t.Cleanup(func() { sourcetest.Run(t, "umount", "-l", dir) }) // the store has its list of blobs open
	to, err := imagestore.Open(filepath.Join(dir, "store"))
	if err != nil {
		t.Fatal(err)
	}
	if err := to.TrustKey(t.Context(), f.key.Public()); err != nil {
		t.Fatal(err)
	}
	if _, err := mirror.Copy(t.Context(), to, f.s, mirror.Options{Images: []string{"web:1"}}); err != nil {
		t.Fatal(err)
	}
	_, before := inStore(t, filepath.Join(dir, "store"))
	_, err = mirror.Copy(t.Context(), to, f.s, mirror.Options{Images: []string{"web:2"}})
	if !mirror.IsFull(err) {
		t.Fatalf("Copy = %v, want %v", err, unix.ENOSPC)
	}
	if names, after := inStore(t, filepath.Join(dir, "store")); after != before {
		t.Errorf("after it the blobs take %d bytes, %d before:\n%s", after, before, strings.Join(names, "\n"))
	}
	if v, err := to.VerifyStore(t.Context(), imagestore.VerifyStoreOptions{}); err != nil || !v.OK || v.Images != 1 {
		t.Errorf("VerifyStore = %+v, %v", v, err)
	}
}

// TestKilledLeavesNothingToGC kills a process that has put a blob and is in the middle of two others: the next
// collection frees all of it, and what a living process put stays.
func TestKilledLeavesNothingToGC(t *testing.T) {
	if dir := os.Getenv(putIn); dir != "" {
		beginPuts(t, dir)
		return
	}
	f := newFixture(t)
	l := f.publish("web:1@amd64", way{"", imagetest.Bytes(1, 10_000)})
	own, _, err := f.s.Blobs.Put(t.Context(), strings.NewReader("of a living process"), "")
	if err != nil {
		t.Fatal(err)
	}
	before, _ := inStore(t, f.dir)
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestKilledLeavesNothingToGC$", "-test.v")
	cmd.Env = append(os.Environ(), putIn+"="+f.dir)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	for b := make([]byte, 1); !strings.Contains(said.String(), "put"); {
		if _, err := out.Read(b); err != nil {
			t.Fatalf("it ended: %v: %s", err, said.String())
		}
		said.Write(b)
	}
	// While it lives all stays.
	all, _ := inStore(t, f.dir)
	if _, err := f.s.GC(t.Context(), imagestore.GCOptions{Parts: true}); err != nil {
		t.Fatal(err)
	}
	if now, _ := inStore(t, f.dir); len(now) != len(all) || len(all) != len(before)+3 {
		t.Errorf("beside a living process there are %d files, before the collection %d, without it %d", len(now),
			len(all), len(before))
	}
	cmd.Process.Signal(syscall.SIGKILL)
	cmd.Wait()
	would, err := f.s.GC(t.Context(), imagestore.GCOptions{Parts: true, DryRun: true})
	if err != nil || would.Blobs != 1 || would.Files != 2 {
		t.Errorf("GC would remove %+v, %v; want a blob and two files", would, err)
	}
	c, err := f.s.GC(t.Context(), imagestore.GCOptions{Parts: true})
	if err != nil || c.Blobs != 1 || c.Files != 2 || c.Bytes != would.Bytes || c.Bytes < 3<<20 {
		t.Errorf("GC removed %+v, %v; want what it said, %+v", c, err, would)
	}
	if now, _ := inStore(t, f.dir); len(now) != len(before) {
		t.Errorf("after it there is\n%s\nwant\n%s", strings.Join(now, "\n"), strings.Join(before, "\n"))
	}
	for _, d := range []blob.Digest{own, l.Document} {
		if _, err := f.s.Blobs.Stat(t.Context(), d); err != nil {
			t.Error(err)
		}
	}
}

func beginPuts(t *testing.T, dir string) {
	s, err := imagestore.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Blobs.Put(t.Context(), bytes.NewReader(make([]byte, 1<<20)), ""); err != nil {
		t.Fatal(err)
	}
	p, err := s.Blobs.(*blob.Dir).Partial(t.Context(), blob.Sum([]byte("whatever")))
	if err == nil {
		_, err = p.Write(make([]byte, 1<<20))
	}
	if err != nil {
		t.Fatal(err)
	}
	r, w := io.Pipe()
	go s.Blobs.Put(t.Context(), r, "")
	w.Write(make([]byte, 1<<20))
	w.Write(make([]byte, 1)) // the mebibyte was read to its end, and written
	fmt.Println("put")
	for {
		time.Sleep(time.Hour)
		runtime.KeepAlive(p) // else its lock goes with it
	}
}
