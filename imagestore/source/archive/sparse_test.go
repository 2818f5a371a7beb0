package archive

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"griddle/imagestore/sendstream"
)

// written lists what the commands of a stream do to the content of files: "write OFFSET+LENGTH", "truncate SIZE".
func written(t *testing.T, stream []byte) []string {
	t.Helper()
	r, err := sendstream.NewReader(bytes.NewReader(stream))
	if err != nil {
		t.Fatal(err)
	}
	out := []string{}
	for {
		c, err := r.Next()
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		switch c.Op {
		case sendstream.OpWrite:
			out = append(out, fmt.Sprintf("%s %d+%d", c.Path, c.FileOffset, len(c.Data)))
		case sendstream.OpTruncate:
			out = append(out, fmt.Sprintf("%s =%d", c.Path, c.Size))
		}
	}
}

// TestSparse reads what GNU tar writes of files with holes, in each of its formats: pieces at the beginning, in the
// middle and at the end, more of them than one header holds, none at all, and one that makes the file 1 TiB.
func TestSparse(t *testing.T) {
	dir := t.TempDir()
	files := map[string][]int64{"few": {1 << 20, 5 << 20}, "none": {}, "start": {0}, "many": {}, "huge": {1 << 40}}
	for i := range int64(40) {
		files["many"] = append(files["many"], i*3<<20)
	}
	for name, pieces := range files {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, at := range pieces {
			if _, err := f.WriteAt(bytes.Repeat([]byte("griddle!"), 512), at); err != nil {
				t.Fatal(err)
			}
		}
		if name == "none" || name == "start" {
			if err := f.Truncate(7<<20 + 1); err != nil {
				t.Fatal(err)
			}
		}
		f.Close()
	}
	for _, format := range [][]string{{"--format=gnu"}, {"--format=pax", "--sparse-version=0.0"},
		{"--format=pax", "--sparse-version=0.1"}, {"--format=pax", "--sparse-version=1.0"}} {
		cmd := exec.Command("tar",
			append(format, "--sparse", "-c", "-C", dir, "few", "none", "start", "many", "huge")...)
		archive, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v: %v", cmd, err)
		}
		stream, err := layers(Options{}, archive)
		if err != nil {
			t.Errorf("%v: %v", format, err)
			continue
		}
		var want []string
		for _, name := range []string{"few", "none", "start", "many", "huge"} {
			for _, at := range files[name] {
				want = append(want, fmt.Sprintf("%s %d+4096", name, at))
			}
			if name == "none" || name == "start" {
				want = append(want, name+" =7340033")
			}
		}
		if got := written(t, stream); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%v:\n got %v\nwant %v", format, got, want)
		}
	}
}

func TestZerosBecomeHoles(t *testing.T) {
	data := make([]byte, 10*holeSize+5)
	data[0], data[5*holeSize-1], data[7*holeSize] = 1, 1, 1
	stream, err := layers(Options{}, packed(t, file("f", string(data)), file("zero", string(data[8*holeSize:]))))
	if err != nil {
		t.Fatal(err)
	}
	want := "[f 0+65536 f 262144+65536 f 458752+65536 f 655360+5 zero 131072+5]"
	if got := fmt.Sprint(written(t, stream)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	m, err := manifest(bytes.NewReader(stream))
	if err != nil || m.Size() != int64(len(data))+2*holeSize+5 {
		t.Errorf("the manifest has %d bytes, %v", m.Size(), err)
	}
}

func TestSparseRefuses(t *testing.T) {
	pax := func(size string, records ...string) []byte {
		m := map[string]string{"GNU.sparse.realsize": size}
		for i := 0; i < len(records); i += 2 {
			m[records[i]] = records[i+1]
		}
		// archive/tar writes no sparse files: the records are put in under other names of the same length.
		h := tar.Header{Typeflag: tar.TypeFifo, Name: "a", PAXRecords: map[string]string{}}
		for k, v := range m {
			h.PAXRecords["XXX"+k[3:]] = v
		}
		b := bytes.ReplaceAll(packed(t, h), []byte("XXX.sparse"), []byte("GNU.sparse"))
		b[1024+typeAt] = tar.TypeReg
		checksum(b[1024:1536])
		return b
	}
	for _, tt := range []struct {
		name    string
		archive []byte
		is      error
	}{
		{"exabytes", pax("9000000000000000000", "GNU.sparse.major", "0", "GNU.sparse.minor", "1",
			"GNU.sparse.numblocks", "0", "GNU.sparse.map", ""), ErrLimit},
		{"more than there is", pax("1000", "GNU.sparse.major", "0", "GNU.sparse.minor", "1", "GNU.sparse.numblocks",
			"1", "GNU.sparse.map", "0,10"), ErrMalformed},
		{"beyond the end", pax("5", "GNU.sparse.major", "0", "GNU.sparse.minor", "1", "GNU.sparse.numblocks", "1",
			"GNU.sparse.map", "10,10"), ErrMalformed},
		{"backwards", pax("100", "GNU.sparse.major", "0", "GNU.sparse.minor", "1", "GNU.sparse.numblocks", "2",
			"GNU.sparse.map", "10,10,0,5"), ErrMalformed},
		{"a later version", pax("100", "GNU.sparse.major", "2", "GNU.sparse.minor", "0"), ErrMalformed},
		{"no map", pax("100", "GNU.sparse.major", "1", "GNU.sparse.minor", "0"), ErrMalformed},
	} {
		if _, err := layers(Options{}, tt.archive); !errors.Is(err, tt.is) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.is)
		}
	}
}

// FuzzTar translates any bytes, as one archive and as two layers. What is not refused must be a stream that applies.
func FuzzTar(f *testing.F) {
	f.Add(packed(f, dir("./"), file("etc/passwd", "root"), symlink("lib", "usr/lib"), file("lib/x", "y"),
		hardLink("h", "etc/passwd")))
	f.Add(packed(f, file("a/old", "x"), dir("a"), file("a/.wh..wh..opq", ""), file(".wh.b", ""), dir("a/d")))
	f.Add(packed(f, tar.Header{Typeflag: tar.TypeChar, Name: "null", Devmajor: 1, Devminor: 3},
		file("z", string(make([]byte, 2*holeSize)))))
	f.Add(packed(f, tar.Header{Typeflag: tar.TypeDir, Name: "a",
		PAXRecords: map[string]string{"SCHILY.acl.default": "u::rwx,g::r--,g:0:r--,m::r--,o::---",
			"SCHILY.xattr.user.x": "y", "mtime": "-1.5"}}))
	f.Add(append(header512L(10),
		append(append([]byte("long/name\x00"), make([]byte, 502)...), packed(f, symlink("x", "y"))...)...))
	f.Fuzz(func(t *testing.T, data []byte) {
		o := Options{Name: "x", Limits: Limits{Bytes: 1 << 20, Entries: 1000}}
		for _, archives := range [][][]byte{{data}, {data, data}} {
			stream, err := layers(o, archives...)
			if err != nil {
				continue
			}
			size := checkPaths(t, stream)
			if size > 16<<20 {
				continue // the zeros of its holes take too long to hash
			}
			if _, err := manifest(bytes.NewReader(stream)); err != nil {
				t.Fatalf("the stream does not apply: %v", err)
			}
		}
	})
}

// checkPaths checks that no path of a stream leads out of it, and adds up the sizes of files.
func checkPaths(t *testing.T, stream []byte) (size uint64) {
	t.Helper()
	r, err := sendstream.NewReader(bytes.NewReader(stream))
	if err != nil {
		t.Fatal(err)
	}
	for {
		c, err := r.Next()
		if err == io.EOF {
			return size
		}
		if err != nil {
			t.Fatal(err)
		}
		paths := []string{c.Path}
		if c.Op == sendstream.OpLink {
			paths = append(paths, c.Link)
		}
		for _, p := range paths {
			if err := sendstream.CheckPath(p); err != nil {
				t.Fatalf("command %v: %v", c.Op, err)
			}
		}
		size += c.Size + c.FileOffset
	}
}

func TestDecompress(t *testing.T) {
	plain := packed(t, file("a", "content"))
	path := filepath.Join(t.TempDir(), "a.tar")
	if err := os.WriteFile(path, plain, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, program := range [][]string{{"cat"}, {"gzip"}, {"bzip2"}, {"xz", "-T1"}, {"xz", "-9e", "--check=sha256"},
		{"zstd", "-q", "--long=27"}, {"lz4", "-q"}} {
		cmd := exec.Command(program[0], append(program[1:], "-c", path)...)
		if program[0] == "cat" {
			cmd = exec.Command("cat", path)
		}
		packed, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v: %v; run make deps", program, err)
		}
		for name, in := range map[string][]byte{"whole": packed, "cut off": packed[:len(packed)-1],
			"spoilt": append(bytes.Clone(packed[:20]), 'x')} {
			r, err := Decompress(bytes.NewReader(in))
			var got []byte
			if err == nil {
				got, err = io.ReadAll(r)
				r.Close()
			}
			if ok := err == nil && bytes.Equal(got, plain); ok != (name == "whole") {
				t.Errorf("%v, %s: %d bytes, %v", program, name, len(got), err)
			}
			if program[0] != "cat" && err != nil && !errors.Is(err, ErrMalformed) {
				t.Errorf("%v, %s: %v, want ErrMalformed", program, name, err)
			}
		}
	}
}

func TestCancelled(t *testing.T) {
	tree, err := New(io.Discard, Options{Name: "x"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	cause := errors.New("enough")
	cancel(cause)
	if err := tree.Tar(ctx, bytes.NewReader(packed(t, file("a", "")))); err != cause {
		t.Errorf("Tar = %v, want %v", err, cause)
	}
}
