package tree

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"github.com/u-root/u-root/pkg/cpio"

	"griddle/imagestore/content"
	"griddle/initramfs/kernel"
)

const release = "6.1.0-9-amd64"

// deb makes a Debian package with these files; a name that ends in "->" is a symlink.
func deb(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	all := map[string]string{"DEBIAN/control": "Package: linux-image-" + release + "\nVersion: 1:6.1.9-1\n" +
		"Architecture: amd64\nMaintainer: A <a@example.org>\nDescription: a kernel\n"}
	for name, text := range files {
		all[name] = text
	}
	for name, text := range all {
		p := filepath.Join(dir, "p", strings.TrimSuffix(name, "->"))
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		err := os.WriteFile(p, []byte(text), 0o644)
		if p != filepath.Join(dir, "p", name) {
			err = os.Remove(p)
			if err == nil {
				err = os.Symlink(text, p)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	out := filepath.Join(dir, "k.deb")
	if said, err := exec.Command("dpkg-deb", "--root-owner-group", "-b", filepath.Join(dir, "p"),
		out).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	return out
}

// kernelFiles is what the package of a kernel has, with its modules below lib.
func kernelFiles(lib string) map[string]string {
	modules := lib + "/modules/" + release + "/"
	return map[string]string{
		"boot/vmlinuz-" + release: "kernel", "boot/config-" + release: "CONFIG_BTRFS_FS=y\n",
		"boot/System.map-" + release: "ffff", modules + "build->": "/usr/src/linux-headers-" + release,
		modules + "modules.builtin": "kernel/fs/btrfs/btrfs.ko\n", modules + "modules.order": "",
		modules + "kernel/drivers/ata/ahci.ko":                "not a module",
		"usr/share/doc/linux-image-" + release + "/copyright": "GPL\n",
		"usr/share/bug/linux-image-" + release + "/script":    "#!/bin/sh\n",
	}
}

func TestMake(t *testing.T) {
	var digests []string
	var initrds [][]byte
	for i, lib := range []string{"lib", "usr/lib"} { // Debian 12, Debian 13
		file := deb(t, kernelFiles(lib))
		p, err := Read(t.Context(), file)
		if want := (Package{"linux-image-" + release, "1:6.1.9-1", "amd64"}); err != nil || p != want {
			t.Fatalf("Read = %+v, %v, want %+v", p, err, want)
		}
		dir := filepath.Join(t.TempDir(), "tree")
		old := syscall.Umask([]int{0o077, 0o022}[i])
		got, err := Make(t.Context(), file, []byte("program"), dir)
		syscall.Umask(old)
		if err != nil || got != release {
			t.Fatalf("Make = %q, %v", got, err)
		}
		var names []string
		err = filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
			rel, _ := filepath.Rel(dir, name)
			if err == nil && !e.IsDir() && !strings.Contains(rel, "/modules.") {
				names = append(names, rel)
			}
			return err
		})
		want := []string{"boot/config-" + release, "boot/initrd.img-" + release, "boot/vmlinuz-" + release,
			kernel.MirrorFile,
			"usr/lib/modules/" + release + "/kernel/drivers/ata/ahci.ko",
			"usr/share/doc/linux-image-" + release + "/copyright"}
		if diff := cmp.Diff(want, names); diff != "" || err != nil {
			t.Errorf("files with %s (-want +got):\n%s%v", lib, diff, err)
		}
		initrd, err := os.ReadFile(filepath.Join(dir, "boot/initrd.img-"+release))
		if err != nil {
			t.Fatal(err)
		}
		initrds = append(initrds, initrd)
		// The two packages have other times: of the first one a second tree.
		if i == 0 {
			again := filepath.Join(t.TempDir(), "tree")
			if _, err := Make(t.Context(), file, []byte("program"), again); err != nil {
				t.Fatal(err)
			}
			for _, d := range []string{dir, again} {
				m, err := content.Walk(t.Context(), d)
				if err != nil {
					t.Fatal(err)
				}
				digests = append(digests, m.Digest())
			}
		}
		if left, err := filepath.Glob(dir + ".*"); err != nil || len(left) != 0 {
			t.Errorf("it left %v", left)
		}
	}
	if digests[0] != digests[1] {
		t.Error("the same package gave two trees")
	}
	if !bytes.Equal(initrds[0], initrds[1]) {
		t.Error("the same kernel gave two initrds")
	}
	checkInitrd(t, initrds[0])
}

// checkInitrd looks into an initrd.
func checkInitrd(t *testing.T, b []byte) {
	t.Helper()
	if len(b)%4 != 0 {
		t.Errorf("the initrd has %d bytes: the kernel could not find what follows it", len(b))
	}
	z, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	plain, err := z.DecodeAll(bytes.TrimRight(b, "\x00"), nil)
	if err != nil {
		t.Fatal(err)
	}
	records, err := cpio.ReadAllRecords(cpio.Newc.Reader(bytes.NewReader(plain)))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range records {
		names = append(names, r.Name)
		if r.Name == "init" {
			data := make([]byte, r.FileSize)
			if _, err := r.ReadAt(data, 0); err != nil || string(data) != "program" || r.Mode&0o777 != 0o755 {
				t.Errorf("/init is %q with mode %o, %v", data, r.Mode, err)
			}
		}
	}
	for _, want := range []string{"init", "sbin/modprobe", "dev/console", "proc", "sys", "root",
		"lib/modules/" + release + "/modules.dep", "lib/modules/" + release + "/modules.alias"} {
		if !slices.Contains(names, want) {
			t.Errorf("the initrd has no %s: %v", want, names)
		}
	}
}

func TestMakeRefuses(t *testing.T) {
	without := kernelFiles("lib")
	without["lib/modules/"+release+"/modules.builtin"] = "kernel/fs/ext4/ext4.ko\n"
	two := kernelFiles("lib")
	two["boot/vmlinuz-6.1.0-8"] = "kernel"
	broken := filepath.Join(t.TempDir(), "k.deb")
	if err := os.WriteFile(broken, []byte("!<arch>\nnothing"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, file, want string }{
		{"a metapackage", deb(t, map[string]string{"usr/share/doc/x/copyright": "GPL"}),
			"it has 0 files boot/vmlinuz-*"},
		{"two kernels", deb(t, two), "it has 2 files boot/vmlinuz-*"},
		{"no btrfs", deb(t, without), "the kernel has no btrfs"},
		{"no modules", deb(t, map[string]string{"boot/vmlinuz-" + release: "kernel"}), "depmod"},
		{"no package", broken, "dpkg-deb"},
		{"nothing", filepath.Join(t.TempDir(), "none.deb"), "none.deb"},
	} {
		dir := filepath.Join(t.TempDir(), "tree")
		if _, err := Make(t.Context(), c.file, nil, dir); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: Make = %v, want %q", c.name, err, c.want)
		}
		if _, err := os.Stat(dir + ".unpacked"); err == nil {
			t.Errorf("%s: the unpacked package stays", c.name)
		}
	}
}
