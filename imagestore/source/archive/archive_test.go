package archive

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"griddle/imagestore/content"
	"griddle/imagestore/sendstream"
)

// packed makes an archive. Entries without a mode get 0644, directories 0755; all are of 1970 plus one second.
func packed(t testing.TB, headers ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		data := ""
		if h.Typeflag == tar.TypeReg {
			data, h.Linkname = h.Linkname, "" // where these tables keep the content
			h.Size = int64(len(data))
		}
		if h.Mode == 0 {
			h.Mode = 0o644
			if h.Typeflag == tar.TypeDir {
				h.Mode = 0o755
			}
		}
		if h.ModTime.IsZero() {
			h.ModTime = time.Unix(1, 0)
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func file(name, content string) tar.Header {
	return tar.Header{Typeflag: tar.TypeReg, Name: name, Linkname: content}
}
func dir(name string) tar.Header { return tar.Header{Typeflag: tar.TypeDir, Name: name} }
func symlink(name, to string) tar.Header {
	return tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: to}
}
func hardLink(name, to string) tar.Header {
	return tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: to}
}

// manifest says what a stream makes.
func manifest(stream io.Reader) (*content.Manifest, error) {
	b := content.NewBuilder(nil, "")
	if err := b.Read(stream); err != nil {
		return nil, err
	}
	return b.Finish(context.Background())
}

// layers translates archives over one another.
func layers(o Options, archives ...[]byte) ([]byte, error) {
	var out bytes.Buffer
	if o.Name == "" {
		o.Name, o.UUID, o.Ctransid = "tree", sendstream.UUID{1}, 1
	}
	tree, err := New(&out, o)
	if err != nil {
		return nil, err
	}
	for _, a := range archives {
		add := tree.Layer
		if len(archives) == 1 {
			add = tree.Tar
		}
		if err := add(context.Background(), bytes.NewReader(a)); err != nil {
			return nil, err
		}
	}
	err = tree.Finish()
	return out.Bytes(), err
}

// short leaves of a manifest the type and path of each line, and a link's target.
func short(m *content.Manifest) string {
	var b strings.Builder
	for _, e := range m.Entries[1:] {
		fmt.Fprintf(&b, "%c %s", e.Type, e.Path)
		if e.Target != "" {
			fmt.Fprintf(&b, ">%s", e.Target)
		}
		b.WriteByte('\n')
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func TestTrees(t *testing.T) {
	for _, tt := range []struct {
		name   string
		layers [][]tar.Header
		want   string
	}{
		{"nothing", [][]tar.Header{{}}, ""},
		{"the root's own entry", [][]tar.Header{{dir("./"), file("./a", "x")}}, "f a"},
		{"absolute", [][]tar.Header{{file("/etc//passwd", "x")}}, "d etc\nf etc/passwd"},
		{"parents that nobody names", [][]tar.Header{{file("a/b/c", "x")}}, "d a\nd a/b\nf a/b/c"},
		{"twice", [][]tar.Header{{file("a", "x"), file("a", "y"), dir("d"), dir("d")}}, "f a\nd d"},
		{"file for directory", [][]tar.Header{{file("a/b/c", "x"), file("a", "y")}}, "f a"},
		{"directory for file", [][]tar.Header{{file("a", "x"), dir("a"), file("a/b", "y")}}, "d a\nf a/b"},
		{"directory for link", [][]tar.Header{{dir("b"), symlink("a", "b"), dir("a"), file("a/c", "y")}},
			"d a\nf a/c\nd b"},
		{"through a link", [][]tar.Header{{dir("usr/lib"), symlink("lib", "usr/lib"), file("lib/x", "y")}},
			"l lib>usr/lib\nd usr\nd usr/lib\nf usr/lib/x"},
		{"through an absolute link", [][]tar.Header{{symlink("a/link", "/etc"), file("a/link/passwd", "y")}},
			"d a\nl a/link>/etc\nd etc\nf etc/passwd"},
		{"through a link upwards", [][]tar.Header{{symlink("a/link", "../../../../tmp"), file("a/link/x", "y")}},
			"d a\nl a/link>../../../../tmp\nd tmp\nf tmp/x"},
		{"through links of links", [][]tar.Header{{symlink("a", "b/../c"), symlink("c", "./d"), dir("b"),
			file("a/x", "y")}}, "l a>b/../c\nd b\nl c>./d\nd d\nf d/x"},
		{"hard links", [][]tar.Header{{file("b", "x"), hardLink("./a", "/b"), hardLink("b", "b"), symlink("s", "gone"),
			hardLink("t", "s")}}, "f a\nh b>a\nl s>gone\nh t>s"},
		{"hard link to what is replaced",
			[][]tar.Header{{file("b", "x"), hardLink("a", "b"), file("b", "new")}}, "f a\nf b"},
		{"no whiteouts in an archive", [][]tar.Header{{file("a", "x"), file(".wh.a", "")}}, "f .wh.a\nf a"},
		{"whiteout", [][]tar.Header{{file("a/x", "x"), file("a/y", "x"), file("b", "")},
			{file("a/.wh.x", ""), file(".wh.b", ""), file(".wh.gone", ""), file("gone/.wh.x", "")}}, "d a\nf a/y"},
		{"whiteout of a directory", [][]tar.Header{{file("a/b/c", "x")}, {file(".wh.a", "")}}, ""},
		{"whiteout spares its layer", [][]tar.Header{{file("a/old", "x"), file("a/d/old", "")},
			{file("a/d/new", ""), file(".wh.a", ""), file("b", ""), file(".wh.b", "")}}, "d a\nd a/d\nf a/d/new\nf b"},
		{"opaque, before what is new", [][]tar.Header{{file("a/old", "x"), file("a/d/e", "x")},
			{dir("a"), file("a/.wh..wh..opq", ""), file("a/new", "")}}, "d a\nf a/new"},
		{"opaque, behind what is new", [][]tar.Header{{file("a/old", "x"), file("a/d/old", "")},
			{dir("a"), file("a/d/new", ""), file("a/.wh..wh..opq", "")}}, "d a\nd a/d\nf a/d/new"},
		{"aufs", [][]tar.Header{{file("plnk", "x")}, {dir(".wh..wh.plnk"), file(".wh..wh.aufs", "")}}, "f plnk"},
		{"file over a lower directory",
			[][]tar.Header{{file("a/b", "x")}, {file("a", "y")}, {dir("a"), file("a/c", "z")}}, "d a\nf a/c"},
		{"hard link to a lower layer", [][]tar.Header{{file("a", "x")}, {hardLink("b", "a")}}, "f a\nh b>a"},
		{"odd names", [][]tar.Header{{file("a\nb", ""), file("c\\d", ""), file("\xff\xfe", "")}},
			"f a\nb\nf c\\d\nf \xff\xfe"},
	} {
		var archives [][]byte
		for _, l := range tt.layers {
			archives = append(archives, packed(t, l...))
		}
		stream, err := layers(Options{}, archives...)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		m, err := manifest(bytes.NewReader(stream))
		if err != nil {
			t.Errorf("%s: the stream does not apply: %v", tt.name, err)
			continue
		}
		if got := short(m); got != tt.want {
			t.Errorf("%s: got\n%s\nwant\n%s", tt.name, got, tt.want)
		}
	}
}

func TestMetadata(t *testing.T) {
	at := time.Unix(1700000000, 123456789)
	pax := func(h tar.Header, records ...string) tar.Header {
		h.Format, h.PAXRecords, h.ModTime = tar.FormatPAX, map[string]string{}, at
		for i := 0; i < len(records); i += 2 {
			h.PAXRecords[records[i]] = records[i+1]
		}
		return h
	}
	owned := pax(file("z", "x"), "SCHILY.acl.access",
		"user::rw-,user:lisa:r--,group:staff:rw-,group::r--,mask::rw-,other::---\n")
	learned := tar.Header{Typeflag: tar.TypeFifo, Name: "y", Uid: 502, Uname: "lisa", Gid: 50,
		Gname: "wheel", Mode: 0o600}
	stream, err := layers(Options{Name: "x",
		Owner: func(name string, group bool) (uint32, bool) { return 777, group && name == "staff" }}, packed(t,
		owned, learned,
		pax(dir("d"), "SCHILY.xattr.user.a%3Db", "\x00\xff=", "SCHILY.acl.access",
			"user::rwx\nuser:5:r-x\t#effective:r--\ngroup::r-x\nmask::r--\nother::---",
			"SCHILY.acl.default", "user::rwx,user:lisa:rwx:9,group::---,mask:rwx,other:---"),
		pax(file("d/s", "x"), "SCHILY.xattr.security.capability",
			"\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
			"SCHILY.xattr.btrfs.compression", "zstd"),
		tar.Header{Typeflag: tar.TypeChar, Name: "null", Devmajor: 1, Devminor: 300, Mode: 0o4755,
			Uid: 1 << 31, Gid: 7},
	))
	if err != nil {
		t.Fatal(err)
	}
	m, err := manifest(bytes.NewReader(stream))
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	if _, err := m.WriteTo(&got); err != nil {
		t.Fatal(err)
	}
	const x = "size=1 sha256=2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
	want := "griddle-content 1\n" +
		"d . 0755 0 0 0.000000000\n" +
		"d d 0755 0 0 1700000000.123456789 " +
		"x:system.posix_acl_access=AgAAAAEABwD/////AgAFAAUAAAAEAAUA/////xAABAD/////IAAAAP////8=" +
		" x:system.posix_acl_default=AgAAAAEABwD/////AgAHAAkAAAAEAAAA/////xAABwD/////IAAAAP////8= " +
		"x:user.a\\x3db=AP89\n" +
		"f d/s 0644 0 0 1700000000.123456789 " + x + " x:security.capability=AQAAAgAgAAAAAAAAAAAAAAAAAAA=\n" +
		"c null 4755 2147483648 7 1.000000000 dev=1:300\n" +
		"p y 0600 502 50 1.000000000\n" +
		"f z 0644 0 0 1700000000.123456789 " + x +
		" x:system.posix_acl_access=AgAAAAEABgD/////AgAEAPYBAAAEAAQA/////wgABgAJAwAAEAAGAP////8gAAAA/////w==\n"
	if got.String() != want {
		t.Errorf("got\n%s\nwant\n%s", got.String(), want)
	}
}

func TestRefuses(t *testing.T) {
	good := packed(t, file("a", strings.Repeat("x", 3000)), file("b", "y"))
	loop := []tar.Header{symlink("a", "b"), symlink("b", "a"), file("a/x", "")}
	for _, tt := range []struct {
		name    string
		archive []byte
		o       Options
		is      error
		want    string
	}{
		{"upwards", packed(t, file("a/../../x", "")), Options{}, ErrMalformed,
			`entry "a/../../x" at byte 0: malformed archive: "a/../../x" leads upwards`},
		{"hard link out", packed(t, file("a", ""), hardLink("b", "../../etc/passwd")), Options{},
			ErrMalformed, "leads upwards"},
		{"hard link to nothing", packed(t, file("a", ""), hardLink("b", "c")), Options{}, ErrMalformed,
			`entry "b" at byte 512: malformed archive: it is a hard link to "c", which does not exist`},
		{"hard link to a directory", packed(t, dir("a"), hardLink("b", "a")), Options{}, ErrMalformed,
			"to the directory"},
		{"hard link to what it replaces", packed(t, file("a/b", ""), hardLink("a", "a/b")), Options{}, ErrMalformed,
			"which it replaces"},
		{"below a file", packed(t, file("a", ""), file("a/b", "")), Options{}, ErrMalformed, `"a" is not a directory`},
		{"links in a circle", packed(t, loop...), Options{}, ErrMalformed, "more than 40 symbolic links"},
		{"long name", packed(t, file(strings.Repeat("n", 256), "")), Options{}, ErrMalformed, "name of 256 bytes"},
		{"long path", packed(t, file(strings.Repeat("n/", 2048)+"x", "")), Options{}, ErrMalformed, "limit 4095"},
		{"root as a file", packed(t, file("./.", "")), Options{}, ErrMalformed, "the root is not a directory"},
		{"empty link", packed(t, symlink("a", "")), Options{}, ErrMalformed, "a symbolic link to"},
		{"device number", packed(t, tar.Header{Typeflag: tar.TypeBlock, Name: "a", Devmajor: 1 << 20}), Options{},
			ErrMalformed, "device 1048576:0"},
		{"owner", packed(t, tar.Header{Typeflag: tar.TypeFifo, Name: "a", Uid: 1 << 32}), Options{}, ErrMalformed,
			"owner 4294967296:0"},
		{"ACL", packed(t, tar.Header{Typeflag: tar.TypeFifo, Name: "a",
			PAXRecords: map[string]string{"SCHILY.acl.access": "user::rwx"}}), Options{}, ErrMalformed, "incomplete"},
		{"ACL with a stranger", packed(t, tar.Header{Typeflag: tar.TypeDir, Name: "a",
			PAXRecords: map[string]string{"SCHILY.acl.access": "u::rwx,g::r--,g:who:r--,m::r--,o::---"}}), Options{},
			errUnknown, `ACL of "a": no number is known for "who"`},
		{"entries", good, Options{Limits: Limits{Entries: 1}}, ErrLimit,
			`entry "b" at byte 3584: archive is larger than allowed: more than 1 entries`},
		{"bytes", good, Options{Limits: Limits{Bytes: 2000}}, ErrLimit, "decompresses to more than 2000 bytes"},
		{"no archive", []byte(strings.Repeat("hello world ", 100)), Options{}, ErrMalformed, "header at byte 0"},
		{"cut off between entries", good[:3584], Options{}, ErrMalformed, "without its end marker"},
		{"cut off in an entry", good[:2000], Options{}, ErrMalformed,
			`entry "a" at byte 0: malformed archive: it is cut off`},
		{"cut off in a header", good[:3600], Options{}, ErrMalformed, "header at byte 3584"},
		{"half an end", good[:len(good)-512], Options{}, ErrMalformed, "without its end marker"},
		{"something behind", append(bytes.Clone(good), append(make([]byte, 9000), 'x')...), Options{}, ErrMalformed,
			"something follows its end"},
	} {
		_, err := layers(tt.o, tt.archive)
		if !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

// TestEndlessInput gives archives that would never end.
func TestEndlessInput(t *testing.T) {
	for name, r := range map[string]io.Reader{
		"zeros": io.MultiReader(bytes.NewReader(packed(t, file("a", ""))), zeroes{}),
		"a file": io.MultiReader(bytes.NewReader(packed(t, tar.Header{Typeflag: tar.TypeReg, Name: "a"})[:0]),
			bytes.NewReader(header512("a", 1<<60)), zeroes{}),
		"long names":    repeated{header512L(1 << 19)},
		"no such bytes": repeated{header512L(1 << 40)},
	} {
		tree, err := New(io.Discard, Options{Limits: Limits{Bytes: 200 << 20}})
		if err != nil {
			t.Fatal(err)
		}
		if err := tree.Tar(context.Background(), r); !errors.Is(err, ErrLimit) && !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v, want ErrLimit", name, err)
		}
	}
}

type zeroes struct{}

func (zeroes) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// repeated gives the same bytes again and again.
type repeated struct{ b []byte }

func (r repeated) Read(p []byte) (int, error) { return copy(p, r.b), nil }

// header512 is the header of a file that claims size bytes.
func header512(name string, size int64) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Format: tar.FormatGNU})
	return b.Bytes()[:512]
}

// header512L is a GNU long name of size zero bytes, again and again.
func header512L(size int64) []byte {
	h := header512("x", size)
	h[typeAt] = 'L'
	return checksum(h)
}

// checksum sets that of a header.
func checksum(h []byte) []byte {
	copy(h[148:156], "        ")
	sum := 0
	for _, c := range h[:512] {
		sum += int(c)
	}
	copy(h[148:156], fmt.Sprintf("%06o\x00 ", sum))
	return h
}

// FuzzACL parses any text as an ACL. What is not refused is what the kernel takes: whole entries in order, each once.
func FuzzACL(f *testing.F) {
	f.Add("user::rwx,user:lisa:r-x:502,group::r--,mask::r-x,other::---")
	f.Add("u::rwx\nu:5:r-x\t#effective:r--\ng::r-x\nm::r--\no::---\n")
	f.Fuzz(func(t *testing.T, text string) {
		b, err := parseACL(text, func(name string, group bool) (uint32, bool) { return uint32(len(name)), !group })
		if err != nil {
			return
		}
		if len(b) < 4+3*8 || len(b)%8 != 4 || b[0] != aclVersion {
			t.Fatalf("parseACL(%q) = %x", text, b)
		}
		for e := b[12:]; len(e) >= 8; e = e[8:] {
			was, now := b[len(b)-len(e)-8:][:8], e[:8]
			if was[0] > now[0] || bytes.Equal(was, now) {
				t.Fatalf("parseACL(%q) = %x", text, b)
			}
		}
	})
}
