package source

import (
	"context"
	"errors"
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
		"config":        "# lxc.rootfs.path = /no\nlxc.include = DIR/common.conf\nlxc.include=DIR/conf.d\n lxc.rootfs.path = btrfs:/var/lib/lxc/a=b/rootfs \nlxc.arch = aarch64\nnonsense\n",
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
		if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.ReplaceAll(text, "DIR", dir)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := readConfig(filepath.Join(dir, "config"))
	want := config{rootfs: "btrfs:/var/lib/lxc/a=b/rootfs", option: "idmap=container,ro", arch: "aarch64", idmap: []string{"g 0 100000 65536"}}
	if err != nil || got.rootfs != want.rootfs || got.option != want.option || got.arch != want.arch || !slices.Equal(got.idmap, want.idmap) {
		t.Errorf("readConfig(config) = %+v, %v, want %+v", got, err, want)
	}
	if _, err := readConfig(filepath.Join(dir, "loop")); err == nil || !strings.Contains(err.Error(), "more than 100") {
		t.Errorf("readConfig(loop) = %v", err)
	}
	if _, err := readConfig(filepath.Join(dir, "gone")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("readConfig(gone) = %v", err)
	}
}

func TestSubvolumeOfConfig(t *testing.T) {
	for _, tt := range []struct {
		in   config
		want string // a path, or a part of the error
	}{
		{config{rootfs: "btrfs:/a"}, "/a"},
		{config{rootfs: "dir:/a"}, "/a"},
		{config{rootfs: "/a"}, "/a"},
		{config{rootfs: "/a", idmap: []string{"u 0 1 1"}, option: "idmap=container"}, "/a"},
		{config{}, "no lxc.rootfs.path"},
		{config{rootfs: "overlay:/a:/b"}, "lxc-create -B btrfs"},
		{config{rootfs: "zfs:pool/a"}, "lxc-create -B btrfs"},
		{config{rootfs: "a"}, "not an absolute path"},
		{config{rootfs: "/a", idmap: []string{"u 0 100000 65536"}}, "it is unprivileged (lxc.idmap = u 0 100000 65536)"},
	} {
		got, err := tt.in.subvolume()
		if err != nil {
			got = err.Error()
			if !errors.Is(err, ErrUnsuitable) {
				t.Errorf("%+v.subvolume() = %v, want ErrUnsuitable", tt.in, err)
			}
		}
		if err == nil && got != tt.want || !strings.Contains(got, tt.want) {
			t.Errorf("%+v.subvolume() = %q, want %q", tt.in, got, tt.want)
		}
	}
}

func TestFindRefuses(t *testing.T) {
	lxc := t.TempDir()
	for name, text := range map[string]string{"web": "lxc.rootfs.path = dir:" + lxc + "/web/rootfs\n", "web/snaps/snap0": "lxc.rootfs.path = /gone\n"} {
		if err := os.MkdirAll(filepath.Join(lxc, name, "rootfs"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(lxc, name, "config"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct{ spec, want string }{
		{"web", "want lxc:NAME"},
		{"zfs:web", "want lxc:NAME"},
		{"lxc:", "want lxc:NAME"},
		{"lxc:web/", "is no name"},
		{"lxc:..", "is no name"},
		{"lxc:web/../x", "is no name"},
		{"lxc:db", "there is no container db in " + lxc + ", only web"},
		{"lxc:web/snap1", "there is no snapshot snap1 in " + lxc + "/web/snaps, only snap0"},
		{"lxc:web/snap0", "/gone: no such file"},
		{"lxc:web", "rootfs is not on btrfs"},
		{"btrfs:" + lxc, "is not on btrfs"},
		{"btrfs:/proc/version", "not a directory"},
	} {
		if _, err := Find(context.Background(), tt.spec, Options{LXCPath: lxc}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Find(%q) = %v, want %q", tt.spec, err, tt.want)
		}
	}
}

func TestArch(t *testing.T) {
	for in, want := range map[string]string{"x86_64": "amd64", "amd64": "amd64", "linux64": arch(runtime.GOARCH), "i686": "i386", "linux32": "i386", "aarch64": "arm64", "riscv64": "riscv64"} {
		if got := arch(in); got != want {
			t.Errorf("arch(%q) = %q, want %q", in, got, want)
		}
	}
}
