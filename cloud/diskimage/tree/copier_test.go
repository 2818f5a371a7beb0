package tree

import (
	"archive/tar"
	"bytes"
	"io"
	"strings"
	"testing"

	"griddle/cloud/diskimage/tree/treetest"
)

func TestHostileTrees(t *testing.T) {
	long := strings.Repeat("a/", 2100)
	dir := tar.Header{Typeflag: tar.TypeDir, Name: "./"}
	over := []File{{Path: "/etc/issue"}}
	for _, c := range []struct {
		name    string
		entries []tar.Header
		rules   Rules
		over    []File
		want    string
	}{
		{"absolute", []tar.Header{{Name: "/etc/x"}}, Rules{}, nil, `"/etc/x": its path is absolute`},
		{"above", []tar.Header{{Name: "a/../../x"}}, Rules{}, nil, "leads out of the tree"},
		{"long", []tar.Header{{Typeflag: tar.TypeDir, Name: long}}, Rules{}, nil, "longer than 4095 bytes"},
		{"long part", []tar.Header{{Name: strings.Repeat("b", 256)}}, Rules{}, nil, "longer than 255 bytes"},
		{"through a link", []tar.Header{{Typeflag: tar.TypeSymlink, Name: "a", Linkname: "/"}, {Name: "a/x"}}, Rules{},
			nil, `"a" above it is not a folder`},
		{"through a file", []tar.Header{{Name: "a"}, {Name: "a/b/c"}}, Rules{}, nil, `"a" above it is not a folder`},
		{"twice", []tar.Header{{Name: "a"}, {Name: "./a"}}, Rules{}, nil, "in the archive twice"},
		{"folder and file", []tar.Header{{Typeflag: tar.TypeDir, Name: "a"}, {Name: "a"}}, Rules{}, nil,
			"in the archive twice"},
		{"root is a link", []tar.Header{{Typeflag: tar.TypeSymlink, Name: ".", Linkname: "/"}}, Rules{}, nil,
			"the root is not a folder"},
		{"hard link out", []tar.Header{{Typeflag: tar.TypeLink, Name: "a", Linkname: "../etc/shadow"}}, Rules{}, nil,
			"leads out of the tree"},
		{"hard link to nothing", []tar.Header{{Typeflag: tar.TypeLink, Name: "a", Linkname: "b"}}, Rules{}, nil,
			"not a file before it"},
		{"hard link to a folder", []tar.Header{dir, {Typeflag: tar.TypeLink, Name: "a", Linkname: "."}}, Rules{}, nil,
			"not a file before it"},
		{"empty link", []tar.Header{{Typeflag: tar.TypeSymlink, Name: "a"}}, Rules{}, nil,
			"its target is missing or not valid"},
		{"hard link to what is laid over", []tar.Header{{Name: "etc/issue"}, {Typeflag: tar.TypeLink, Name: "a",
			Linkname: "etc/issue"}}, Rules{}, over, "which another file is laid over"},
		{"folder laid over", []tar.Header{{Typeflag: tar.TypeDir, Name: "etc/issue"}}, Rules{}, over,
			"cannot be laid over a folder"},
		{"laid through a loop", []tar.Header{{Typeflag: tar.TypeSymlink, Name: "etc", Linkname: "etc"}}, Rules{},
			over, "too many links"},
		{"laid over what a link leads to", []tar.Header{{Typeflag: tar.TypeSymlink, Name: "etc", Linkname: "x"},
			{Name: "x/issue"}}, Rules{}, over, "reached through a link"},
		{"owner", []tar.Header{{Name: "a", Uid: 1 << 40}}, Rules{}, nil, "is not valid"},
		{"device of a user", []tar.Header{{Typeflag: tar.TypeBlock, Name: "dev/sda"}}, Rules{Mapped: true}, nil,
			`"dev/sda": a device node`},
		{"device elsewhere", []tar.Header{{Typeflag: tar.TypeBlock, Name: "x/sda"}},
			Rules{Mapped: true, DropDevices: true}, nil, `"x/sda": a device node`},
		{"attribute of a user", []tar.Header{{Name: "a", PAXRecords: map[string]string{"SCHILY.xattr.trusted.x": "1"}}},
			Rules{Mapped: true}, nil, "trusted.x"},
		{"label of a user",
			[]tar.Header{{Name: "a", PAXRecords: map[string]string{"SCHILY.xattr.security.selinux": "1"}}},
			Rules{Mapped: true}, nil, "security.selinux"},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := NewCopier(io.Discard, c.rules, c.over)
			err := v.Copy(bytes.NewReader(treetest.Archive(t, c.entries...)), false)
			if err == nil {
				err = v.Lay(nil)
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("copy = %v, want an error with %q", err, c.want)
			}
		})
	}
}

func TestFollow(t *testing.T) {
	v := NewCopier(io.Discard, Rules{}, nil)
	v.links = map[string]string{"lib": "usr/lib", "usr/lib/up": "../../etc/..", "abs": "/lib/up/var", "out": "../../.."}
	for in, want := range map[string]string{"lib/modules": "usr/lib/modules", "abs": "var", "out/etc": "etc",
		".": ".", "a/b": "a/b"} {
		if got, err := v.follow(in, 0); got != want || err != nil {
			t.Errorf("follow(%q) = %q, %v, want %q", in, got, err, want)
		}
	}
}

// FuzzTree has any bytes be an image. What comes out must be one that passes unchanged.
func FuzzTree(f *testing.F) {
	f.Add(treetest.Archive(f, tar.Header{Typeflag: tar.TypeDir, Name: "./"}, tar.Header{Name: "a/b", Size: 5},
		tar.Header{Typeflag: tar.TypeLink, Name: "c", Linkname: "a/b"}))
	f.Add(treetest.Archive(f, tar.Header{Typeflag: tar.TypeSymlink, Name: "lib", Linkname: "usr/lib"},
		tar.Header{Name: "etc/fstab", Size: 600}))
	f.Add([]byte("no archive"))
	f.Fuzz(func(t *testing.T, b []byte) {
		files := []File{{Path: "/lib/x", Content: []byte("x")}, {Path: "/etc/issue", Link: "y"}}
		var out, again bytes.Buffer
		v := NewCopier(&out, Rules{}, files)
		if v.Copy(bytes.NewReader(b), true) != nil || v.Lay(nil) != nil || v.out.Close() != nil {
			return
		}
		w := NewCopier(&again, Rules{}, nil)
		if err := w.Copy(bytes.NewReader(out.Bytes()), true); err != nil {
			t.Fatalf("what was written is refused: %v", err)
		}
		if err := w.out.Close(); err != nil || !bytes.Equal(out.Bytes(), again.Bytes()) {
			t.Errorf("what was written comes out otherwise: %v\n%s---\n%s", err, treetest.Listing(t, out.Bytes()),
				treetest.Listing(t, again.Bytes()))
		}
	})
}
