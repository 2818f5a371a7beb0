package readback

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"griddle/imagestore/content"
)

// quick is Usual, but for the time.
var quick = Rule{Rest: 20 * time.Millisecond, Smallest: Usual().Smallest}

// mount makes a filesystem and mounts it. disk is the file that it is in.
func mount(t *testing.T, kind string) (dir, disk string) {
	t.Helper()
	tool := func(name string, args ...string) {
		t.Helper()
		if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
			t.Fatalf("%s %v: %v: %s; make deps installs what is missing", name, args, err, out)
		}
	}
	disk, dir = filepath.Join(t.TempDir(), "disk"), t.TempDir()
	must(t, os.WriteFile(disk, nil, 0o600), os.Truncate(disk, 512<<20))
	tool("mkfs."+kind, "-q", disk)
	tool("mount", "-o", "loop,noatime", disk, dir)
	t.Cleanup(func() { tool("umount", dir) })
	return dir, disk
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func noise(seed uint64) []byte {
	b := make([]byte, 100_000)
	r := rand.New(rand.NewPCG(seed, 0))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// readings has a Reader read files until it has as many as are wanted.
func readings(t *testing.T, dir string, want int, paths ...string) content.Readings {
	t.Helper()
	root, err := os.Open(dir)
	must(t, err)
	defer root.Close()
	for wait := 50 * time.Millisecond; ; wait *= 2 {
		r, err := Start(int(root.Fd()), quick)
		must(t, err)
		for _, p := range paths {
			r.Written(p)
		}
		for end := time.After(wait); end != nil; {
			select {
			case do := <-r.Idle():
				do()
			case <-end:
				end = nil
			}
		}
		if got := r.Stop(); len(got) == want {
			return got
		} else if wait > 5*time.Second {
			t.Fatalf("%d files were read, want %d", len(got), want)
		}
	}
}

// What is read comes from the disk, not from the cache of what was written.
func TestFromDisk(t *testing.T) {
	top, disk := mount(t, "ext4")
	want := noise(1)
	must(t, os.WriteFile(top+"/a", want, 0o644))
	unix.Sync()
	b, err := os.ReadFile(disk)
	must(t, err)
	at := bytes.Index(b, want[:4096])
	if at < 0 {
		t.Fatal("the disk does not have the file")
	}
	f, err := os.OpenFile(disk, os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteAt([]byte("damaged"), int64(at))
	must(t, err, f.Close())
	if got, err := os.ReadFile(top + "/a"); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("the cache has not what was written: %v", err)
	}
	damaged := slices.Clone(want)
	copy(damaged, "damaged")
	for _, r := range readings(t, top, 1, "a") {
		if r.SHA256 != sha256.Sum256(damaged) {
			t.Error("what was read is not what the disk has")
		}
	}
}

// A damaged block that the filesystem finds gives no reading.
func TestDamagedBlock(t *testing.T) {
	top, disk := mount(t, "btrfs")
	must(t, os.WriteFile(top+"/a", noise(1), 0o644), os.WriteFile(top+"/b", noise(2), 0o644))
	unix.Sync()
	b, err := os.ReadFile(disk)
	must(t, err)
	f, err := os.OpenFile(disk, os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteAt([]byte("damaged"), int64(bytes.Index(b, noise(1)[4096:8192])))
	must(t, err, f.Close())
	for _, r := range readings(t, top, 1, "a", "b") {
		if r.SHA256 != sha256.Sum256(noise(2)) {
			t.Error("the file without damage was not the one that was read")
		}
	}
}

// What is left to the end: small files, holes, and what is not a file.
func TestLeft(t *testing.T) {
	top, _ := mount(t, "btrfs")
	must(t, os.WriteFile(top+"/small", noise(1)[:quick.Smallest-1], 0o644), os.WriteFile(top+"/hole", noise(1), 0o644),
		os.Truncate(top+"/hole", 1<<20), os.Mkdir(top+"/dir", 0o755), unix.Mkfifo(top+"/fifo", 0o600),
		os.Symlink("file", top+"/link"), os.Symlink(".", top+"/up"),
		unix.Mknod(top+"/device", unix.S_IFCHR|0o600, 0x103), os.WriteFile(top+"/file", noise(1), 0o644))
	for i := range 3 {
		must(t, os.WriteFile(fmt.Sprint(top, "/", i), noise(9), 0o644))
	}
	readings(t, top, 4, "small", "hole", "dir", "fifo", "link", "up/file", "../x", "/etc/passwd", "gone", "device", "",
		"file", "0", "1", "2")
}

// Without Idle nothing is read, and Stop returns.
func TestNeverIdle(t *testing.T) {
	top, _ := mount(t, "ext4")
	must(t, os.WriteFile(top+"/a", noise(1), 0o644))
	root, err := os.Open(top)
	must(t, err)
	defer root.Close()
	r, err := Start(int(root.Fd()), quick)
	must(t, err)
	for range 3 * waiting {
		r.Written("a")
	}
	time.Sleep(5 * quick.Rest)
	if got := r.Stop(); len(got) != 0 {
		t.Errorf("%d files were read", len(got))
	}
}
