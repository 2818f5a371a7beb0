// Package treetest makes archives for tests of disks, and lists what is in them.
package treetest

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

// Archive writes entries; one that has Size gets that many bytes.
func Archive(t testing.TB, entries ...tar.Header) []byte {
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

// Listing shows an archive, one line for each entry.
func Listing(t testing.TB, b []byte) string {
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

// SparseFiles are files with zeros in them, by name. A letter is a MiB of it, "." one of zeros, "'" and "," are 100
// bytes of x and of zeros.
func SparseFiles() map[string]string {
	files := map[string]string{
		"front": "...a", "middle": "a....b", "behind": "ab....", "all": "......", "none": "abc", "short end": "......'",
		"zero end": "a.....,", "end after data": ".a....'", "two": ".'", "alternate": "a.b.c.d.e",
		"long": strings.Repeat(".", 20) + "z", "deep/er/file": "..a..",
	}
	for i := range 400 { // so that the trees have inner nodes
		files[fmt.Sprintf("many/%03d", i)] = "'"
	}
	for i := range 8 {
		files[fmt.Sprintf("many/%03d-", 50*i)] = ".a,"
	}
	return files
}

// Spelled is the content that a value of SparseFiles describes.
func Spelled(s string) []byte {
	var b bytes.Buffer
	for _, c := range s {
		switch c {
		case '.':
			b.Write(make([]byte, 1<<20))
		case '\'':
			b.WriteString(strings.Repeat("x", 100))
		case ',':
			b.Write(make([]byte, 100))
		default:
			b.Write(bytes.Repeat([]byte{byte(c)}, 1<<20))
		}
	}
	return b.Bytes()
}
