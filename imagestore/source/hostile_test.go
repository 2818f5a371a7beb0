package source

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"griddle/imagestore/source/sourcetest"
)

// TestHostileArchives unpacks archives that want to reach what is beside their copy. Nothing there changes, and what
// is not refused lies inside of it.
func TestHostileArchives(t *testing.T) {
	base := t.TempDir()
	outside, spool := filepath.Join(base, "outside"), filepath.Join(base, "spool")
	sourcetest.Plant(t, outside)
	before := walked(t, outside)
	link := func(name, to string) *tar.Header {
		return &tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: to}
	}
	hard := func(name, to string) *tar.Header {
		return &tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: to}
	}
	file := func(name string) *tar.Header { return &tar.Header{Name: name, Mode: 0o777, Size: 4} }
	dir := func(name string) *tar.Header {
		return &tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o777, Uid: 5}
	}
	passwd := filepath.Join(outside, "etc/passwd")
	for _, tt := range []struct {
		name    string
		entries []*tar.Header
		refused string // "" where the tree must have inside
		inside  string
	}{
		{"an absolute path", []*tar.Header{file(passwd)}, "", passwd},
		{"upwards", []*tar.Header{file("../outside/etc/passwd")}, "leads upwards", ""},
		{"upwards in the middle", []*tar.Header{dir("a"), file("a/../../outside/etc/passwd")}, "leads upwards", ""},
		{"through an absolute link", []*tar.Header{link("a", outside), file("a/etc/passwd")}, "", passwd},
		{"through a link upwards", []*tar.Header{link("a", "../outside"), file("a/etc/passwd")}, "",
			"outside/etc/passwd"},
		{"over a link", []*tar.Header{link("a", passwd), file("a")}, "", "a"},
		{"a directory over a link", []*tar.Header{link("a", outside), dir("a"), file("a/new")}, "", "a/new"},
		{"a link over a directory with files",
			[]*tar.Header{dir("a"), file("a/b"), link("a", outside), file("a/etc/passwd")}, "", passwd},
		{"a hard link to a link", []*tar.Header{link("a", passwd), hard("b", "a"), file("b/x")}, "",
			filepath.Join(passwd, "x")},
		{"a hard link out", []*tar.Header{hard("a", passwd)}, "which does not exist", ""},
		{"a hard link through a link", []*tar.Header{link("a", outside), hard("b", "a/etc/passwd")},
			"which does not exist", ""},
		{"a hard link upwards", []*tar.Header{hard("a", "../outside/etc/passwd")}, "leads upwards", ""},
		{"a file where the copy's end is marked", []*tar.Header{file("../x.publishing")}, "leads upwards", ""},
		{"below a device", []*tar.Header{{Typeflag: tar.TypeChar, Name: "null", Devmajor: 1, Devminor: 3},
			file("null/x")}, "is not a directory", ""},
		{"attributes that are none", []*tar.Header{{Typeflag: tar.TypeDir, Name: "a",
			PAXRecords: map[string]string{"SCHILY.xattr.nonsense": "x"}}}, `setting attribute "nonsense" of "a"`, ""},
	} {
		var packed bytes.Buffer
		w := tar.NewWriter(&packed)
		for _, h := range tt.entries {
			must(t, w.WriteHeader(h))
			_, err := io.WriteString(w, "evil"[:h.Size])
			must(t, err)
		}
		must(t, w.Close())
		s, err := Find(context.Background(), "tar:-", Options{Spool: spool, Stdin: &packed})
		must(t, err)
		c, err := s.Take(context.Background(), "x", quiet)
		switch {
		case tt.refused != "":
			if err == nil || !strings.Contains(err.Error(), tt.refused) {
				t.Errorf("%s: %v, want %q", tt.name, err, tt.refused)
			}
		case err != nil:
			t.Errorf("%s: %v", tt.name, err)
		default:
			if b, err := os.ReadFile(filepath.Join(c.Dir, tt.inside)); string(b) != "evil" {
				t.Errorf("%s: inside there is %q, %v", tt.name, b, err)
			}
		}
		if c != nil {
			must(t, c.Discard())
		}
		if got := listing(t, spool); len(got) > 0 {
			t.Errorf("%s left %v", tt.name, got)
		}
		sameText(t, tt.name, walked(t, outside), before)
	}
}
