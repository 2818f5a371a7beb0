package diskimage

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"griddle/cloud/diskimage/program"
	"griddle/cloud/diskimage/tree"
	"griddle/cloud/diskimage/tree/treetest"
)

// small is a tree with one of everything, for which a kernel of four bytes is enough; nodes says whether with a device.
func small(t testing.TB, nodes bool) Image {
	t.Helper()
	entries := []tar.Header{
		{Typeflag: tar.TypeDir, Name: "./", Mode: 0o751, Uid: 3, Gid: 4, ModTime: time.Unix(1600000000, 0)},
		{Typeflag: tar.TypeDir, Name: "./etc/", Mode: 0o755},
		{Name: "./etc/fstab", Size: 3},
		{Name: "./etc/secret", Size: 5000, Mode: 0o640, Uid: 1000, Gid: 1001},
		{Typeflag: tar.TypeLink, Name: "./etc/again", Linkname: "./etc/secret"},
		{Name: "./boot/vmlinuz-1", Size: 4, Mode: 0o644},
		{Name: "./usr/bin/ping", Mode: 0o4755, Size: 100, PAXRecords: map[string]string{
			"SCHILY.xattr.security.capability": "\x01\x00\x00\x02\x00\x20" + strings.Repeat("\x00", 14)}},
		{Typeflag: tar.TypeSymlink, Name: "./" + strings.Repeat("l", 200), Linkname: strings.Repeat("t", 200)},
		{Typeflag: tar.TypeFifo, Name: "./pipe \n\"x", Mode: 0o600},
		{Name: "./big", Size: 3 << 20},
	}
	for i := range 300 {
		entries = append(entries, tar.Header{Name: fmt.Sprintf("./many/%d", i*7919%1000), Size: int64(i), Uid: i})
	}
	if nodes {
		entries = append(entries,
			tar.Header{Typeflag: tar.TypeChar, Name: "./dev/null", Mode: 0o666, Devmajor: 1, Devminor: 3})
	}
	b := treetest.Archive(t, entries...)
	return Image{Ref: "small:1@amd64", Digest: fmt.Sprintf("sha256:%x", sha256.Sum256(b)), Arch: "amd64",
		Tar: func(_ context.Context, w io.Writer, _ Bytes) error {
			_, err := w.Write(b)
			return err
		}}
}

const smallDisk = 256 * mib

func make1(t *testing.T, c *Cache, i Image, o Options) Disk {
	t.Helper()
	d, err := c.Make(t.Context(), i, o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("running %s %q (Debian package %s, run make deps): %v\n%s", name, args,
			program.PackageOf(name), err, out)
	}
	return string(out)
}

// partition copies the root partition of a raw disk to a file.
func partition(t *testing.T, disk string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "root")
	from, err := os.Open(disk)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	to, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	st, err := from.Stat()
	if err != nil {
		t.Fatal(err)
	}
	size := rootSize(st.Size())
	if err := to.Truncate(size); err != nil {
		t.Fatal(err)
	}
	block := make([]byte, mib)
	for at := int64(0); at < size; at += mib {
		n, err := from.ReadAt(block[:min(mib, size-at)], rootStart+at)
		if err == nil && !tree.IsZero(block[:n]) {
			_, err = to.WriteAt(block[:n], at)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return name
}

// TestExt4 makes a disk twice, an hour of the files' access times apart, and looks at what is in it.
func TestExt4(t *testing.T) {
	i, o := small(t, true), Options{Format: Raw, Size: smallDisk,
		Files: []File{{Path: "/etc/motd", Mode: 0o600, UID: 7, Content: []byte("hello")}}}
	one, two := make1(t, &Cache{Dir: t.TempDir()}, i, o), make1(t, &Cache{Dir: t.TempDir()}, i, o)
	if one.Digest != two.Digest {
		t.Errorf("two disks of the same image differ: %s, %s", one.Path, two.Path)
	}
	if one.Virtual != smallDisk || one.Size != smallDisk || one.Kernel != "image" || one.Grows != "" {
		t.Errorf("the disk is %+v", one)
	}
	root := partition(t, one.Path)
	output(t, "e2fsck", "-fn", root)
	stat := func(name string) string { return output(t, "debugfs", "-R", "stat "+name, root) }
	for name, want := range map[string][]string{
		"/": {"Mode:  0751", "User:     3   Group:     4", "mtime: 0x5f5e1000", "atime: 0x6553f100",
			"ctime: 0x6553f100"},
		"/etc/secret": {"Mode:  0640", "User:  1000   Group:  1001", "Size: 5000", "Links: 2", "mtime: 0x6553f100",
			"atime: 0x6553f100", "ctime: 0x6553f100", "crtime: 0x6553f100"},
		"/usr/bin/ping": {"Mode:  04755", "security.capability (20) = 01 00 00 02 00 20"},
		"/etc/motd":     {"Mode:  0600", "User:     7", "Size: 5"},
		"/dev/null":     {"Device major/minor number: 01:03"},
		"/many/0":       {"Type: regular"},
		"/boot/efi":     {"Type: directory", "Mode:  0700"},
		"/etc/fstab":    {"Mode:  0644"},
		"/many/919":     {"Size: 1", "User:     1"},
	} {
		got := stat(name)
		for _, w := range want {
			if !strings.Contains(got, w) {
				t.Errorf("%s has no %q:\n%s", name, w, got)
			}
		}
	}
	output(t, "sfdisk", "--verify", one.Path)
	esp := fmt.Sprintf("%s@@%d", one.Path, espStart)
	cfg := output(t, "mtype", "-i", esp, "::/griddle/grub.cfg")
	s := spec{Recipe: recipe, Image: i.Digest, Arch: "amd64", Options: o}
	s.Options, _ = o.filled()
	if !strings.Contains(cfg, "'root=UUID="+s.id("root")+"'") || !strings.Contains(cfg, "'console=ttyS0,115200'") {
		t.Errorf("grub.cfg names no %s:\n%s", s.id("root"), cfg)
	}
	output(t, "fsck.vfat", "-n", cut(t, one.Path, espStart, espSize))
}

func cut(t *testing.T, disk string, start, size int64) string {
	t.Helper()
	f, err := os.Open(disk)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, size)
	if _, err := f.ReadAt(b, start); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "cut")
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestBtrfs(t *testing.T) {
	d := make1(t, &Cache{Dir: t.TempDir()}, small(t, true), Options{Format: Raw, Filesystem: Btrfs, Size: 512 * mib})
	root := partition(t, d.Path)
	output(t, "btrfs", "check", root)
	if got := output(t, "btrfs", "inspect-internal", "dump-tree", "-t", "5",
		root); !strings.Contains(got, "name: vmlinuz-1") {
		t.Error("the filesystem has no vmlinuz-1 in its top")
	}
}

// TestFormats has every format hold the sectors of the raw disk.
func TestFormats(t *testing.T) {
	var converted int64
	c, i := &Cache{Dir: t.TempDir()}, small(t, true)
	c.Bytes = func(part string, done, _ int64) {
		if part == "converting" {
			converted = done
		}
	}
	raw := make1(t, c, i, Options{Format: Raw, Size: smallDisk})
	alone := make1(t, &Cache{Dir: t.TempDir()}, i, Options{Size: smallDisk})
	for _, f := range []Format{QCOW2, VHD, VMDK} {
		converted = 0
		d := make1(t, c, i, Options{Format: f, Size: smallDisk})
		output(t, "qemu-img", "compare", "-f", "raw", "-F", qemuName(f), raw.Path, d.Path)
		if d.Virtual != smallDisk || !strings.HasSuffix(d.Path, "."+string(f)) {
			t.Errorf("%s is %+v", f, d)
		}
		if converted != smallDisk {
			t.Errorf("%s: %d bytes converted are reported at last, want %d", f, converted, smallDisk)
		}
		if f == VHD && d.Digest != make1(t, &Cache{Dir: t.TempDir()}, i, Options{Format: VHD, Size: smallDisk}).Digest {
			t.Error("a vhd of the raw disk in the cache differs from one that was made alone")
		}
		if f == QCOW2 && d.Digest != alone.Digest {
			t.Error("a qcow2 of the raw disk in the cache differs from one that was made alone")
		}
		if got, err := c.Find(d.Digest); err != nil || got.Path != d.Path {
			t.Errorf("Find(%s) = %+v, %v", d.Digest, got, err)
		}
	}
}

func TestTree(t *testing.T) {
	d := make1(t, &Cache{Dir: t.TempDir()}, small(t, true),
		Options{Format: Tree, DropDevices: true, Files: []File{{Path: "/etc/motd", Content: []byte("x")}}})
	list := output(t, "tar", "-tf", d.Path)
	if !strings.Contains(list, "./etc/motd\n") || !strings.Contains(list, "./etc/fstab\n") ||
		strings.Contains(list, "dev/null") || d.Virtual != 0 || d.BIOS {
		t.Errorf("the tree is %+v:\n%s", d, list)
	}
}

func TestRefused(t *testing.T) {
	good := small(t, false)
	broken := errors.New("the network is gone")
	for _, c := range []struct {
		name  string
		spoil func(*Image, *Options, *Cache)
		want  string
		is    error
	}{
		{name: "digest", spoil: func(i *Image, _ *Options, _ *Cache) { i.Digest = "md5:1" },
			want: `making a disk of small:1@amd64: digest "md5:1"`},
		{name: "arch", spoil: func(i *Image, _ *Options, _ *Cache) { i.Arch = "arm64" }, want: "only amd64 boots yet"},
		{name: "too small", spoil: func(_ *Image, o *Options, _ *Cache) { o.Size = 64 * mib },
			want: "a disk of 64 MiB is too small"},
		{name: "no kernel", spoil: func(i *Image, _ *Options, _ *Cache) {
			i.Tar = func(_ context.Context, w io.Writer, _ Bytes) error {
				_, err := w.Write(treetest.Archive(t, tar.Header{Name: "etc/x"}))
				return err
			}
		}, want: "the image has no kernel (/vmlinuz or /boot/vmlinuz-*)"},
		{name: "half of it", spoil: func(i *Image, _ *Options, _ *Cache) {
			whole := i.Tar
			i.Tar = func(ctx context.Context, w io.Writer, progress Bytes) error {
				var b bytes.Buffer
				if err := whole(ctx, &b, progress); err != nil {
					return err
				}
				if _, err := w.Write(b.Bytes()[:b.Len()/2]); err != nil {
					return err
				}
				return broken
			}
		}, want: "reading the image: the network is gone", is: broken},
		{name: "no archive", spoil: func(i *Image, _ *Options, _ *Cache) {
			i.Tar = func(_ context.Context, w io.Writer, _ Bytes) error {
				_, err := io.WriteString(w, strings.Repeat("x", 4096))
				return err
			}
		}, want: "reading archive after 0 entries"},
		{name: "no GRUB", spoil: func(_ *Image, _ *Options, c *Cache) { c.GRUB = os.DirFS(t.TempDir()) },
			want: "reading GRUB's images"},
		{name: "argument", spoil: func(_ *Image, o *Options, _ *Cache) { o.Args = []string{"a\nb"} },
			want: "control character"},
	} {
		t.Run(c.name, func(t *testing.T) {
			i, o, cache := good, Options{Format: Raw, Size: smallDisk}, &Cache{Dir: t.TempDir()}
			c.spoil(&i, &o, cache)
			_, err := cache.Make(t.Context(), i, o)
			if err == nil || !strings.Contains(err.Error(), c.want) || c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("Make = %v, want an error with %q", err, c.want)
			}
			left, err := filepath.Glob(filepath.Join(cache.Dir, ".build-*"))
			if err != nil || len(left) > 0 {
				t.Errorf("it left %v, %v", left, err)
			}
		})
	}
}

// TestOnce has several ask for one disk at once, and again later.
func TestOnce(t *testing.T) {
	i, dir := small(t, false), t.TempDir()
	var reads atomic.Int32
	whole := i.Tar
	i.Tar = func(ctx context.Context, w io.Writer, progress Bytes) error {
		reads.Add(1)
		return whole(ctx, w, progress)
	}
	errs := make(chan error)
	for range 3 {
		go func() {
			_, err := (&Cache{Dir: dir}).Make(context.Background(), i, Options{Format: Raw, Size: smallDisk})
			errs <- err
		}()
	}
	for range 3 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if n := reads.Load(); n != 1 {
		t.Errorf("the image was read %d times, want once", n)
	}
}

func TestCollect(t *testing.T) {
	c, i := &Cache{Dir: t.TempDir()}, small(t, true)
	var disks []Disk
	for n := range 4 {
		disks = append(disks,
			make1(t, c, i, Options{Format: Tree, Files: []File{{Path: "/n", Content: []byte{byte(n)}}}}))
	}
	// Used again: the first is the newest now.
	make1(t, c, i, Options{Format: Tree, Files: []File{{Path: "/n", Content: []byte{0}}}})
	if err := os.MkdirAll(filepath.Join(c.Dir, ".build-"+strings.Repeat("0", 64), "tree"), 0o700); err != nil {
		t.Fatal(err)
	}
	removed, err := c.Collect(t.Context(), 1, disks[2].Digest)
	if err != nil || len(removed) != 2 {
		t.Errorf("Collect = %+v, %v, want two", removed, err)
	}
	left, err := c.List()
	if err != nil || len(left) != 2 || left[0].Key != disks[0].Key || left[1].Key != disks[2].Key {
		t.Errorf("left are %+v, %v", left, err)
	}
	if _, err := c.Find(disks[1].Digest); !errors.Is(err, ErrNotFound) {
		t.Errorf("Find of what was collected = %v", err)
	}
	if b, _ := filepath.Glob(filepath.Join(c.Dir, ".build-*")); len(b) > 0 {
		t.Errorf("Collect left %v", b)
	}
	if err := os.Truncate(left[0].Path, 5); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Find(left[0].Key); err == nil || errors.Is(err, ErrNotFound) {
		t.Errorf("Find of a disk that was cut off = %v", err)
	}
}
