package source

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func TestReadConfig(t *testing.T) {
	dir := t.TempDir()
	files := map[string]string{
		"config": "# lxc.rootfs.path = /no\nlxc.include = DIR/common.conf\nlxc.include=DIR/conf.d\n" +
			" lxc.rootfs.path = btrfs:/var/lib/lxc/a=b/rootfs \nlxc.arch = aarch64\nnonsense\n",
		"common.conf":   "lxc.rootfs.path = dir:/other\nlxc.idmap = u 0 100000 65536\n",
		"conf.d/1.conf": "lxc.idmap =\n",
		"conf.d/2.conf": "lxc.idmap = g 0 100000 65536\nlxc.rootfs.options = idmap=container,ro\n",
		"conf.d/3.txt":  "lxc.idmap = g 0 1 1\n",
		"loop":          "lxc.include = DIR/loop\n",
		"gone":          "lxc.include = DIR/nowhere\n",
	}
	if err := os.Mkdir(filepath.Join(dir, "conf.d"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.ReplaceAll(text, "DIR", dir)),
			0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := readConfig(filepath.Join(dir, "config"))
	want := config{rootfs: "btrfs:/var/lib/lxc/a=b/rootfs", option: "idmap=container,ro", arch: "aarch64",
		idmap: []string{"g 0 100000 65536"}}
	if err != nil || got.rootfs != want.rootfs || got.option != want.option || got.arch != want.arch ||
		!slices.Equal(got.idmap, want.idmap) {
		t.Errorf("readConfig(config) = %+v, %v, want %+v", got, err, want)
	}
	if _, err := readConfig(filepath.Join(dir, "loop")); err == nil || !strings.Contains(err.Error(), "more than 100") {
		t.Errorf("readConfig(loop) = %v", err)
	}
	if _, err := readConfig(filepath.Join(dir, "gone")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("readConfig(gone) = %v", err)
	}
}

func TestRootOfConfig(t *testing.T) {
	for _, tt := range []struct{ in, want string }{ // directories from the top, or a part of the error
		{"btrfs:/a", "[/a]"},
		{"dir:/a", "[/a]"},
		{"/a", "[/a]"},
		{"/a:b", "[/a:b]"},
		{"overlay:/a:/b", "[/b /a]"},
		{"overlayfs:/a:/b:/c", "[/c /a /b]"},
		{"", "no lxc.rootfs.path"},
		{"zfs:pool/a", "only a directory, a btrfs subvolume or an overlay"},
		{"overlay:/a", "an overlay without directories"},
		{"overlay:a:/b", "not an absolute path"},
		{"a", "not an absolute path"},
	} {
		c := config{rootfs: tt.in}
		r, err := c.root()
		got := fmt.Sprint(append([]string{r.dir}, r.lower...))
		if err != nil {
			got = err.Error()
			if !errors.Is(err, ErrUnsuitable) {
				t.Errorf("root of %q = %v, want ErrUnsuitable", tt.in, err)
			}
		}
		if err == nil && got != tt.want || !strings.Contains(got, tt.want) {
			t.Errorf("root of %q = %q, want %q", tt.in, got, tt.want)
		}
	}
}

func TestFindRefuses(t *testing.T) {
	lxc := t.TempDir()
	for name, text := range map[string]string{"web": "lxc.rootfs.path = dir:" + lxc + "/web/rootfs\n",
		"web/snaps/snap0": "lxc.rootfs.path = /gone\n",
		"odd":             "lxc.rootfs.path = " + lxc + "/web/rootfs\nlxc.idmap = u 0 x 65536\n"} {
		if err := os.MkdirAll(filepath.Join(lxc, name, "rootfs"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(lxc, name, "config"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(lxc, "disk.raw"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ spec, want string }{
		{"web", "want lxc:NAME"},
		{"zfs:web", "want lxc:NAME"},
		{"lxc:", "want lxc:NAME"},
		{"lxc:web/", "is not the name"},
		{"lxc:..", "is not the name"},
		{"lxc:web/../x", "is not the name"},
		{"lxc:db", "there is no container db in " + lxc + ", only odd, web"},
		{"lxc:web/snap1", "there is no snapshot snap1 in " + lxc + "/web/snaps, only snap0"},
		{"lxc:web/snap0", "/gone: no such file"},
		{"lxc:odd", "lxc.idmap = u 0 x 65536 is not valid"},
		{"nspawn:a/b", "is not the name of a machine"},
		{"nspawn:gone", "no such file"},
		{"nspawn:disk", "the machine is the disk image"},
		{"dir:/proc/version", "not a directory"},
		{"tar:", "want lxc:NAME"},
		{"tar:/gone", "no such file"},
		{"tar:" + lxc, "is a directory"},
		{"oci:/gone:1", "/gone: no such file"},
		{"oci:" + lxc, "oci-layout"},
		{"btrfs:" + lxc, "is not on btrfs"},
		{"btrfs:/proc/version", "not a directory"},
	} {
		if _, err := Find(context.Background(), tt.spec, Options{LXCPath: lxc, Machines: lxc}); err == nil ||
			!strings.Contains(err.Error(), tt.want) {
			t.Errorf("Find(%q) = %v, want %q", tt.spec, err, tt.want)
		}
	}
}

func TestArch(t *testing.T) {
	for in, want := range map[string]string{"x86_64": "amd64", "amd64": "amd64", "linux64": arch(runtime.GOARCH),
		"i686": "i386", "linux32": "i386", "aarch64": "arm64", "riscv64": "riscv64"} {
		if got := arch(in); got != want {
			t.Errorf("arch(%q) = %q, want %q", in, got, want)
		}
	}
}
