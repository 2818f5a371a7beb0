package kernel

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"griddle/initramfs/mounttest"
	"griddle/initramfs/pool/pooltest"
	"griddle/initramfs/subvolume"
)

func TestMain(m *testing.M) {
	mounttest.Own()
	os.Exit(m.Run())
}

const release = "6.1.0-9-amd64"

// image is the tree of a kernel image.
func image() map[string]string {
	return map[string]string{
		"boot/vmlinuz-" + release: "kernel", "boot/initrd.img-" + release: strings.Repeat("initrd", 5000),
		"boot/config-" + release:                                   "CONFIG_BTRFS_FS=m\n",
		"usr/lib/modules/" + release + "/modules.dep":              "kernel/fs/btrfs/btrfs.ko:\n",
		"usr/lib/modules/" + release + "/kernel/fs/btrfs/btrfs.ko": strings.Repeat("btrfs", 30000),
		"usr/share/doc/linux-image-" + release + "/copyright":      "GPL",
		"etc/passwd": "of no use",
	}
}

// made writes files below a new directory and opens it.
func made(t *testing.T, files map[string]string) (*os.Root, string) {
	t.Helper()
	dir := t.TempDir()
	pooltest.Put(t, dir, files)
	return opened(t, dir), dir
}

func opened(t *testing.T, dir string) *os.Root {
	t.Helper()
	r, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// content lists the files below dir with what is in them; symlinks with where they lead.
func content(t *testing.T, dir string) map[string]string {
	t.Helper()
	got := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		rel, _ := filepath.Rel(dir, name)
		if e.Type() == fs.ModeSymlink {
			to, err := os.Readlink(name)
			got[rel] = "-> " + to
			return err
		}
		b, err := os.ReadFile(name)
		got[rel] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// TestAdd adds a kernel to roots with /lib as they are found: merged into /usr by a relative or an absolute symlink,
// not merged, and missing.
func TestAdd(t *testing.T) {
	for _, c := range []struct{ name, link, modules string }{
		{"merged", "usr/lib", "usr/lib/modules"},
		{"merged by an absolute link", "/usr/lib", "usr/lib/modules"},
		{"not merged", "", "lib/modules"},
		{"no /lib", "-", "usr/lib/modules"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tree, _ := made(t, image())
			old := map[string]string{"etc/hostname": "web\n", "usr/lib/os-release": "ID=debian\n",
				"boot/vmlinuz-6.1.0-8-amd64": "older", c.modules + "/6.1.0-8-amd64/a.ko": "a"}
			if c.link == "" {
				old["lib/firmware/x"] = "x"
			}
			root, dir := made(t, old)
			if len(c.link) > 1 {
				if err := os.Symlink(c.link, filepath.Join(dir, "lib")); err != nil {
					t.Fatal(err)
				}
				old["lib"] = "-> " + c.link
			}
			// Of an attempt that was interrupted, and of a module that is gone since.
			pooltest.Put(t, dir, map[string]string{"boot/initrd.img-" + release: "ini",
				c.modules + "/" + release + "/kernel/gone.ko": "gone"})
			got, err := Add(t.Context(), tree, root)
			if err != nil || got != release {
				t.Fatalf("Add = %q, %v", got, err)
			}
			want := old
			for name, text := range image() {
				if rest, ok := strings.CutPrefix(name, "usr/lib/modules"); ok {
					want[c.modules+rest] = text
				} else if strings.HasPrefix(name, "boot/") {
					want[name] = text
				}
			}
			have := content(t, dir)
			for name, text := range want {
				if have[name] != text {
					t.Errorf("/%s is %.40q, want %.40q", name, have[name], text)
				}
				delete(have, name)
			}
			for name := range have {
				t.Errorf("/%s is new", name)
			}
			st, err := root.Stat("boot/vmlinuz-" + release)
			if err != nil || st.Mode().Perm() != 0o644 {
				t.Errorf("the kernel has mode %v, %v", st.Mode(), err)
			}
		})
	}
}

func TestFindRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		with func(files map[string]string)
		link string
		want string
	}{
		{"a container", func(f map[string]string) { delete(f, "boot/vmlinuz-"+release) }, "", "0 files boot/vmlinuz-*"},
		{"two kernels", func(f map[string]string) { f["boot/vmlinuz-6.1.0-8"] = "k" }, "", "2 files boot/vmlinuz-*"},
		{"no initrd", func(f map[string]string) { delete(f, "boot/initrd.img-"+release) }, "", "no boot/initrd.img-"},
		{"a link as initrd", func(f map[string]string) { delete(f, "boot/initrd.img-"+release) },
			"boot/initrd.img-" + release, "is a L---------"},
		{"no modules", func(f map[string]string) {
			delete(f, "usr/lib/modules/"+release+"/modules.dep")
			delete(f, "usr/lib/modules/"+release+"/kernel/fs/btrfs/btrfs.ko")
		}, "", "no usr/lib/modules/"},
		{"a strange name", func(f map[string]string) {
			delete(f, "boot/vmlinuz-"+release)
			f["boot/vmlinuz-6.1 root=x"] = "k"
		}, "", "has characters"},
	} {
		files := image()
		c.with(files)
		tree, dir := made(t, files)
		if c.link != "" {
			if err := os.Symlink("/etc/passwd", filepath.Join(dir, c.link)); err != nil {
				t.Fatal(err)
			}
		}
		root, rootDir := made(t, nil)
		_, err := Add(t.Context(), tree, root)
		if !errors.Is(err, ErrNoKernel) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: Add = %v, want %q", c.name, err, c.want)
		}
		if got := content(t, rootDir); len(got) != 0 {
			t.Errorf("%s: it left %v", c.name, got)
		}
	}
}

// TestAddStaysInside adds a kernel to a root whose links lead out of it.
func TestAddStaysInside(t *testing.T) {
	tree, _ := made(t, image())
	_, outside := made(t, nil)
	for _, link := range []string{"boot", "lib", "usr/lib/modules/" + release} {
		root, dir := made(t, nil)
		if err := errors.Join(os.MkdirAll(filepath.Join(dir, filepath.Dir(link)), 0o755),
			os.Symlink(outside, filepath.Join(dir, link))); err != nil {
			t.Fatal(err)
		}
		_, err := Add(t.Context(), tree, root)
		t.Logf("/%s leads out: %v", link, err)
		if got := content(t, outside); len(got) != 0 {
			t.Fatalf("/%s led to %v outside of the root", link, got)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	root, dir := made(t, nil)
	if _, err := Add(ctx, tree, root); !errors.Is(err, context.Canceled) {
		t.Errorf("Add after the end of its context = %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "boot/vmlinuz-"+release)); err == nil {
		t.Error("a root that was not finished has a kernel")
	}
}

// TestAddShares adds a kernel of an image in a pool to a root of the same pool: both have the same blocks.
func TestAddShares(t *testing.T) {
	p := pooltest.Installed(t)
	pooltest.Tool(t, "btrfs", "subvolume", "create", p.Top+"/build")
	pooltest.Put(t, p.Top+"/build", image())
	pooltest.Tool(t, "btrfs", "subvolume", "snapshot", "-r", p.Top+"/build", p.Top+"/@images/kernel@amd64")
	if err := subvolume.Delete(p.Top, "build"); err != nil {
		t.Fatal(err)
	}
	tree, root := opened(t, p.Top+"/@images/kernel@amd64"), opened(t, p.Top+"/@roots/bare")
	if _, err := Add(t.Context(), tree, root); err != nil {
		t.Fatal(err)
	}
	if err := subvolume.Sync(p.Top); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"boot/initrd.img-" + release,
		"usr/lib/modules/" + release + "/kernel/fs/btrfs/btrfs.ko"} {
		a, b := firstExtent(t, tree, name), firstExtent(t, root, name)
		if a != b || a == 0 {
			t.Errorf("%s is at %d in the image and at %d in the root", name, a, b)
		}
	}
}

// firstExtent is the place of a file's first block on its filesystem, in bytes (ioctl_fiemap(2)).
func firstExtent(t *testing.T, dir *os.Root, name string) uint64 {
	t.Helper()
	f, err := dir.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m := struct {
		start, length                    uint64
		flags, mapped, extents, reserved uint32
		logical, physical, size          uint64
		reserved64                       [2]uint64
		extentFlags                      uint32
		reserved32                       [3]uint32
	}{length: 1 << 20, extents: 1}
	const fiemap = 0xc020660b // FS_IOC_FIEMAP
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), fiemap, uintptr(unsafe.Pointer(&m))); errno != 0 {
		t.Fatalf("asking where %s is: %v", name, errno)
	}
	return m.physical
}
