package metadata

import (
	"archive/tar"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "write the goldens anew")

// TestTar compares the tarball, told as text, with testdata.
func TestTar(t *testing.T) {
	i := Image{Arch: "amd64",
		Properties: map[string]string{"description": "web", "griddle-digest": "sha256:00", "a": `"<&>`}}
	b, err := Tar(i)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := Tar(i); err != nil || !bytes.Equal(b, again) {
		t.Errorf("made again it differs (%v)", err)
	}
	var text bytes.Buffer
	r := tar.NewReader(bytes.NewReader(b))
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&text, "--- %s %v %d %d:%d %d\n", h.Name, h.FileInfo().Mode(), h.Size, h.Uid,
			h.Gid, h.ModTime.Unix())
		if _, err := io.Copy(&text, r); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join("testdata", "web.txt")
	if *update {
		if err := os.WriteFile(path, text.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if text.String() != string(want) {
		t.Errorf("it is\n%s\nwant\n%s", text.String(), want)
	}
	if _, err := Tar(Image{Arch: "riscv64"}); err == nil {
		t.Error("an unknown architecture gave no error")
	}
}
