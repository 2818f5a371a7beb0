package diskimage

import (
	"archive/tar"
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"griddle/cloud/diskimage/tree"
	"griddle/cloud/diskimage/tree/treetest"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	name = filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(name, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (run with -update to rewrite it):\n%s", name, got)
	}
}

// TestDiskTree has a tree with everything that matters made a disk's.
func TestDiskTree(t *testing.T) {
	in := treetest.Archive(t,
		tar.Header{Typeflag: tar.TypeDir, Name: "./", Mode: 0o755},
		tar.Header{Typeflag: tar.TypeSymlink, Name: "./lib", Linkname: "usr/lib"},
		tar.Header{Typeflag: tar.TypeDir, Name: "./etc/", Mode: 0o750, Gid: 7},
		tar.Header{Name: "./etc/fstab", Size: 3},
		tar.Header{Name: "./etc/issue", Size: 3, Uid: 5},
		tar.Header{Name: "boot/vmlinuz-6.1", Size: 4,
			PAXRecords: map[string]string{"SCHILY.xattr.user.a": "b", "SCHILY.dev": "1"}},
		tar.Header{Typeflag: tar.TypeLink, Name: "./boot/again", Linkname: "./boot/vmlinuz-6.1"},
		tar.Header{Name: "./usr/lib/systemd/systemd-growfs", Mode: 0o755},
		tar.Header{Name: "./usr/bin/systemd-repart", Mode: 0o755},
		tar.Header{Typeflag: tar.TypeChar, Name: "./dev/null", Mode: 0o666, Devmajor: 1, Devminor: 3},
		tar.Header{Typeflag: tar.TypeFifo, Name: "./run/pipe", Mode: 0o600},
	)
	o, err := Options{DropDevices: true, Files: []File{
		{Path: "/etc/issue", Mode: 0o644, Content: []byte("new\n")},
		{Path: "/etc", Mode: 0o755, Dir: true},
		{Path: "/lib/own/file", Mode: 0o4755, UID: 1, GID: 2, Content: []byte{0, 255}},
		{Path: "/srv/link", Link: "../etc"},
	}}.filled()
	if err != nil {
		t.Fatal(err)
	}
	s := spec{Recipe: recipe, Image: "sha256:0", Options: o}
	var out bytes.Buffer
	v := tree.NewCopier(&out, tree.Rules{Mapped: true, DropDevices: true}, o.Files)
	if err := v.Copy(bytes.NewReader(in), false); err != nil {
		t.Fatal(err)
	}
	if err := v.Lay(nil); err != nil {
		t.Fatal(err)
	}
	if err := v.Lay(bootFiles(v.Found, s)); err != nil {
		t.Fatal(err)
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	if f := v.Found; !f.Kernel || f.Growfs != "/usr/lib/systemd/systemd-growfs" || !f.Repart ||
		string(f.Fstab) != "xxx" || f.Newest.Unix() != 1700000000 {
		t.Errorf("found %+v", f)
	}
	golden(t, "tree.txt", []byte(treetest.Listing(t, out.Bytes())))
}
