package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/u-root/u-root/pkg/cpio"
)

// packageTree writes the files of packages, "PACKAGE/PATH": content, or a link where the content begins with "-> ".
func packageTree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		p := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		to, link := strings.CutPrefix(text, "-> ")
		var err error
		if link {
			err = os.Symlink(to, p)
		} else {
			err = os.WriteFile(p, []byte(text), 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestCollection(t *testing.T) {
	// A program of this computer links to the library of C; its own library is in a package.
	program, err := os.ReadFile("/bin/ls")
	if err != nil {
		t.Fatal(err)
	}
	root := packageTree(t, map[string]string{
		"disks/sbin/list":                                         string(program),
		"disks/usr/bin/both":                                      "#!/bin/sh\n",
		"disks/usr/share/doc/disks/README":                        "no one reads it",
		"disks/etc/disks/a.conf":                                  "a",
		"disks/etc/disks/d/b.conf":                                "b",
		"many/sbin/many":                                          "#!/bin/sh\n",
		"many/sbin/one":                                           "-> many",
		"many/sbin/two":                                           "-> /sbin/many",
		"libselinux1/lib/x86_64-linux-gnu/libselinux.so.1":        "-> libselinux.so.1.0",
		"libselinux1/lib/x86_64-linux-gnu/libselinux.so.1.0":      "a library",
		"libselinux1/usr/share/doc/libselinux1/README":            "no one reads it",
		"ca-certificates/usr/share/ca-certificates/mozilla/A.crt": "A",
	})
	var have bytes.Buffer
	w := cpio.Newc.Writer(&have)
	if err := cpio.WriteRecords(w, []cpio.Record{cpio.Directory("sbin", 0o755),
		cpio.StaticFile("usr/bin/both", "of the boot image", 0o755),
		cpio.StaticFile("lib/x86_64-linux-gnu/libc.so.6", "of the boot image", 0o755)}); err != nil {
		t.Fatal(err)
	}
	if err := cpio.WriteTrailer(w); err != nil {
		t.Fatal(err)
	}
	wanted := []toolPackage{{"disks", []string{"list", "both", "etc/disks/"}}, {"many", []string{"t*"}},
		{"of-another-release", []string{"list"}}}
	c := &collection{root: root, taken: map[string]bool{}, from: map[string]string{}}
	if err := c.leaveOut(have.Bytes()); err != nil {
		t.Fatal(err)
	}
	for _, p := range wanted {
		if err := c.add(p); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.complete(wanted); err != nil {
		t.Error(err)
	}
	libs, err := c.libraries()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.resolve(libs); err != nil {
		t.Fatal(err)
	}
	want := []string{"etc/disks/a.conf", "etc/disks/d/b.conf", "lib/x86_64-linux-gnu/libselinux.so.1",
		"lib/x86_64-linux-gnu/libselinux.so.1.0", "sbin/list", "sbin/many", "sbin/two"}
	if got := sortedKeys(c.from); !slices.Equal(got, want) {
		t.Errorf("the archive has %q, want %q", got, want)
	}
	if err := c.complete([]toolPackage{{"disks", []string{"lost"}}}); err == nil ||
		!strings.Contains(err.Error(), "the program lost, not even disks") {
		t.Errorf("a program that no package has = %v", err)
	}
	delete(libs, "libselinux.so.1")
	for _, name := range []string{"lib/x86_64-linux-gnu/libselinux.so.1", "lib/x86_64-linux-gnu/libselinux.so.1.0"} {
		delete(c.from, name)
	}
	if err := c.resolve(libs); err == nil || !strings.Contains(err.Error(), "needs libselinux.so.1, which is in none") {
		t.Errorf("a library that is missing = %v", err)
	}
}

// The newest archives stay, whatever their digests are, and the present one in any case.
func TestDropArchives(t *testing.T) {
	dir := t.TempDir()
	for i, name := range []string{"present", "c", "a", "d", "b", "e"} {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		at := time.Unix(int64(1000+i), 0)
		if err := os.Chtimes(p, at, at); err != nil {
			t.Fatal(err)
		}
	}
	if err := dropArchives(dir, "present"); err != nil {
		t.Fatal(err)
	}
	var got []string
	left, err := fs.Glob(os.DirFS(dir), "*")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, left...)
	if want := []string{"b", "d", "e", "present"}; !slices.Equal(got, want) {
		t.Errorf("left are %q, want %q", got, want)
	}
}
