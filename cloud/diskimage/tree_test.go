package diskimage

import (
	"archive/tar"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
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

// archive writes entries; one that has Size gets that many bytes.
func archive(t testing.TB, entries ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range entries {
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
		}
		if h.ModTime.IsZero() {
			h.ModTime = time.Unix(1700000000, 0)
		}
		h.Format = tar.FormatPAX
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(w, strings.NewReader(strings.Repeat("x", int(h.Size))), h.Size); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// listing shows an archive, a line an entry.
func listing(t testing.TB, b []byte) string {
	t.Helper()
	var out strings.Builder
	for r := tar.NewReader(bytes.NewReader(b)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out.String()
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "%c %04o %d:%d %s", h.Typeflag, h.Mode, h.Uid, h.Gid, h.Name)
		if h.Linkname != "" {
			fmt.Fprintf(&out, " -> %s", h.Linkname)
		}
		if h.Typeflag == tar.TypeReg {
			fmt.Fprintf(&out, " %q", content)
		}
		for k, v := range h.PAXRecords {
			if strings.HasPrefix(k, "SCHILY.") {
				fmt.Fprintf(&out, " %s=%q", k, v)
			}
		}
		out.WriteByte('\n')
	}
}

// TestDiskTree has a tree with everything that matters made a disk's.
func TestDiskTree(t *testing.T) {
	in := archive(t,
		tar.Header{Typeflag: tar.TypeDir, Name: "./", Mode: 0o755},
		tar.Header{Typeflag: tar.TypeSymlink, Name: "./lib", Linkname: "usr/lib"},
		tar.Header{Typeflag: tar.TypeDir, Name: "./etc/", Mode: 0o750, Gid: 7},
		tar.Header{Name: "./etc/fstab", Size: 3},
		tar.Header{Name: "./etc/issue", Size: 3, Uid: 5},
		tar.Header{Name: "boot/vmlinuz-6.1", Size: 4, PAXRecords: map[string]string{"SCHILY.xattr.user.a": "b", "SCHILY.dev": "1"}},
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
	v := newWeaver(&out, rules{mapped: true, dropDev: true}, o.Files)
	if err := v.copy(bytes.NewReader(in), false); err != nil {
		t.Fatal(err)
	}
	if err := v.lay(nil); err != nil {
		t.Fatal(err)
	}
	if err := v.lay(bootFiles(v.found, s)); err != nil {
		t.Fatal(err)
	}
	if err := v.out.Close(); err != nil {
		t.Fatal(err)
	}
	if f := v.found; !f.kernel || f.growfs != "/usr/lib/systemd/systemd-growfs" || !f.repart || string(f.fstab) != "xxx" || f.newest.Unix() != 1700000000 {
		t.Errorf("found %+v", f)
	}
	golden(t, "tree.txt", []byte(listing(t, out.Bytes())))
}

func TestHostileTrees(t *testing.T) {
	long := strings.Repeat("a/", 2100)
	dir := tar.Header{Typeflag: tar.TypeDir, Name: "./"}
	over := []File{{Path: "/etc/issue"}}
	for _, c := range []struct {
		name    string
		entries []tar.Header
		rules   rules
		over    []File
		want    string
	}{
		{"absolute", []tar.Header{{Name: "/etc/x"}}, rules{}, nil, `"/etc/x": its path is absolute`},
		{"above", []tar.Header{{Name: "a/../../x"}}, rules{}, nil, "leads out of the tree"},
		{"long", []tar.Header{{Typeflag: tar.TypeDir, Name: long}}, rules{}, nil, "longer than 4095 bytes"},
		{"long part", []tar.Header{{Name: strings.Repeat("b", 256)}}, rules{}, nil, "longer than 255 bytes"},
		{"through a link", []tar.Header{{Typeflag: tar.TypeSymlink, Name: "a", Linkname: "/"}, {Name: "a/x"}}, rules{}, nil, `"a" above it is not a folder`},
		{"through a file", []tar.Header{{Name: "a"}, {Name: "a/b/c"}}, rules{}, nil, `"a" above it is not a folder`},
		{"twice", []tar.Header{{Name: "a"}, {Name: "./a"}}, rules{}, nil, "in the archive twice"},
		{"folder and file", []tar.Header{{Typeflag: tar.TypeDir, Name: "a"}, {Name: "a"}}, rules{}, nil, "in the archive twice"},
		{"root is a link", []tar.Header{{Typeflag: tar.TypeSymlink, Name: ".", Linkname: "/"}}, rules{}, nil, "the root is not a folder"},
		{"hard link out", []tar.Header{{Typeflag: tar.TypeLink, Name: "a", Linkname: "../etc/shadow"}}, rules{}, nil, "leads out of the tree"},
		{"hard link to nothing", []tar.Header{{Typeflag: tar.TypeLink, Name: "a", Linkname: "b"}}, rules{}, nil, "no file before it"},
		{"hard link to a folder", []tar.Header{dir, {Typeflag: tar.TypeLink, Name: "a", Linkname: "."}}, rules{}, nil, "no file before it"},
		{"empty link", []tar.Header{{Typeflag: tar.TypeSymlink, Name: "a"}}, rules{}, nil, "its target is none"},
		{"hard link to what is laid over", []tar.Header{{Name: "etc/issue"}, {Typeflag: tar.TypeLink, Name: "a", Linkname: "etc/issue"}}, rules{}, over, "which another file is laid over"},
		{"folder laid over", []tar.Header{{Typeflag: tar.TypeDir, Name: "etc/issue"}}, rules{}, over, "cannot be laid over a folder"},
		{"laid through a loop", []tar.Header{{Typeflag: tar.TypeSymlink, Name: "etc", Linkname: "etc"}}, rules{}, over, "too many links"},
		{"laid over what a link leads to", []tar.Header{{Typeflag: tar.TypeSymlink, Name: "etc", Linkname: "x"}, {Name: "x/issue"}}, rules{}, over, "reached through a link"},
		{"owner", []tar.Header{{Name: "a", Uid: 1 << 40}}, rules{}, nil, "is none"},
		{"device of a user", []tar.Header{{Typeflag: tar.TypeBlock, Name: "dev/sda"}}, rules{mapped: true}, nil, `"dev/sda": a device node`},
		{"device elsewhere", []tar.Header{{Typeflag: tar.TypeBlock, Name: "x/sda"}}, rules{mapped: true, dropDev: true}, nil, `"x/sda": a device node`},
		{"attribute of a user", []tar.Header{{Name: "a", PAXRecords: map[string]string{"SCHILY.xattr.trusted.x": "1"}}}, rules{mapped: true}, nil, "trusted.x"},
		{"label of a user", []tar.Header{{Name: "a", PAXRecords: map[string]string{"SCHILY.xattr.security.selinux": "1"}}}, rules{mapped: true}, nil, "security.selinux"},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := newWeaver(io.Discard, c.rules, c.over)
			err := v.copy(bytes.NewReader(archive(t, c.entries...)), false)
			if err == nil {
				err = v.lay(nil)
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("copy = %v, want an error with %q", err, c.want)
			}
		})
	}
}

func TestFollow(t *testing.T) {
	v := newWeaver(io.Discard, rules{}, nil)
	v.links = map[string]string{"lib": "usr/lib", "usr/lib/up": "../../etc/..", "abs": "/lib/up/var", "out": "../../.."}
	for in, want := range map[string]string{"lib/modules": "usr/lib/modules", "abs": "var", "out/etc": "etc", ".": ".", "a/b": "a/b"} {
		if got, err := v.follow(in, 0); got != want || err != nil {
			t.Errorf("follow(%q) = %q, %v, want %q", in, got, err, want)
		}
	}
}

// FuzzTree has any bytes be an image. What comes out must be one that passes unchanged.
func FuzzTree(f *testing.F) {
	f.Add(archive(f, tar.Header{Typeflag: tar.TypeDir, Name: "./"}, tar.Header{Name: "a/b", Size: 5}, tar.Header{Typeflag: tar.TypeLink, Name: "c", Linkname: "a/b"}))
	f.Add(archive(f, tar.Header{Typeflag: tar.TypeSymlink, Name: "lib", Linkname: "usr/lib"}, tar.Header{Name: "etc/fstab", Size: 600}))
	f.Add([]byte("no archive"))
	f.Fuzz(func(t *testing.T, b []byte) {
		files := []File{{Path: "/lib/x", Content: []byte("x")}, {Path: "/etc/issue", Link: "y"}}
		var out, again bytes.Buffer
		v := newWeaver(&out, rules{}, files)
		if v.copy(bytes.NewReader(b), true) != nil || v.lay(nil) != nil || v.out.Close() != nil {
			return
		}
		w := newWeaver(&again, rules{}, nil)
		if err := w.copy(bytes.NewReader(out.Bytes()), true); err != nil {
			t.Fatalf("what was written is refused: %v", err)
		}
		if err := w.out.Close(); err != nil || !bytes.Equal(out.Bytes(), again.Bytes()) {
			t.Errorf("what was written comes out otherwise: %v\n%s---\n%s", err, listing(t, out.Bytes()), listing(t, again.Bytes()))
		}
	})
}
