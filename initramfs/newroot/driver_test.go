package newroot

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"griddle/imagestore/content"
	"griddle/initramfs/sysroot"

	"github.com/u-root/u-root/pkg/cpio"
)

// packed is an initrd with files of these names.
func packed(t *testing.T, names ...string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := cpio.Newc.Writer(z)
	for _, name := range names {
		if err := w.WriteRecord(cpio.StaticFile(name, "a driver", 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if err := cpio.WriteTrailer(w); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// A root that is a partition is refused only if it is sure that its kernel has no driver of the filesystem.
func TestDriver(t *testing.T) {
	const lists, fat = "usr/lib/modules/6.1.0/modules.builtin", "kernel/fs/fat/fat.ko\n"
	ext4 := packed(t, "init", "usr/lib/modules/6.1.0/kernel/fs/ext4/ext4.ko.zst")
	for _, c := range []struct {
		name, initrd, builtin, filesystem string
		refused                           bool
	}{
		{"a module", ext4, "kernel/fs/btrfs/btrfs.ko\n", "ext4", false},
		{"another module", ext4, "kernel/fs/btrfs/btrfs.ko\n", "xfs", true},
		{"in the kernel", ext4, "kernel/fs/xfs/xfs.ko\n", "xfs", false},
		{"of another kernel", packed(t, "lib/modules/5.10.0/kernel/fs/xfs/xfs.ko"), fat, "xfs", true},
		{"a part of the name", packed(t, "lib/modules/6.1.0/kernel/fs/xfs/xfs.kohl"), fat, "xfs", true},
		{"what the kernel has is not known", ext4, "", "xfs", false},
		{"an initrd of another kind", "an initrd", fat, "xfs", false},
		{"no initrd", "", fat, "xfs", false},
	} {
		for _, link := range []bool{false, true} {
			dir := t.TempDir()
			files := map[string]string{"boot/vmlinuz-6.1.0": "a kernel", "boot/initrd.img-6.1.0": c.initrd,
				lists: c.builtin}
			for name, text := range files {
				if text == "" {
					continue
				}
				if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if link { // as Debian has them
				for _, name := range []string{"vmlinuz", "initrd.img"} {
					if err := os.Symlink("boot/"+name+"-6.1.0", filepath.Join(dir, name)); err != nil {
						t.Fatal(err)
					}
				}
			}
			root, err := os.OpenRoot(dir)
			if err != nil {
				t.Fatal(err)
			}
			m := &making{Options: Options{Ref: "web:1", Own: &Own{Filesystem: c.filesystem}},
				Dir: sysroot.Dir{Root: root}}
			err = m.driver()
			if (err != nil) != c.refused ||
				c.refused && !strings.Contains(err.Error(), "has no driver of it (module xfs)") {
				t.Errorf("%s, links %v: %v", c.name, link, err)
			}
			m.Own = nil
			if err := m.driver(); err != nil {
				t.Errorf("%s: in a pool: %v", c.name, err)
			}
			root.Close()
		}
	}
}

func TestCheckInitrd(t *testing.T) {
	for name, want := range map[string]bool{"boot/initrd.img-6.1.0-9-amd64": true, "boot/initramfs-6.1.img": true,
		"boot/initrd-6.4.0-default": true, "initrd.img": true, "boot/vmlinuz-6.1": false, "usr/lib/initrd.img": false} {
		m := &content.Manifest{Entries: []content.Entry{{Path: name, Type: content.Regular}}}
		if err := CheckInitrd("web:1", m); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
}
