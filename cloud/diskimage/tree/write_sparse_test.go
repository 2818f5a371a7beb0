package tree

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"griddle/cloud/diskimage/tree/treetest"

	"golang.org/x/sys/unix"
)

// TestWriteSparse has GNU tar unpack files with holes, and Go's reader read them.
func TestWriteSparse(t *testing.T) {
	p, err := newPacker(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	var b bytes.Buffer
	out := tar.NewWriter(&b)
	times := []time.Time{time.Unix(1600000000, 5), time.Unix(-1, 500000000), time.Unix(-100, 1), time.Unix(-100, 0),
		time.Unix(0, 7), time.Unix(5000000000, 0)}
	files := treetest.SparseFiles()
	names := []string{"front", "middle", "behind", "short end", "all", "alternate"}
	for i, name := range names {
		content := treetest.Spelled(files[name])
		kept, size, err := p.pack(bytes.NewReader(content), int64(len(content)))
		if err != nil {
			t.Fatal(err)
		}
		h := &tar.Header{Name: "./dir " + name, Mode: 0o4711, Uid: 3000000, Gid: 7, ModTime: times[i],
			PAXRecords: map[string]string{"SCHILY.xattr.user.a": "b\n"}}
		if err := writeSparse(&b, h, kept, p.spool, size); err != nil {
			t.Fatal(err)
		}
		// What comes behind is found.
		if err := errors.Join(out.WriteHeader(&tar.Header{Name: fmt.Sprintf("after%d", i), Size: 3, Mode: 0o600}),
			second(out.Write([]byte("abc"))), out.Flush()); err != nil {
			t.Fatal(err)
		}
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	archive := filepath.Join(dir, "a.tar")
	if err := os.WriteFile(archive, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("tar", "-x", "-C", dir, "--same-owner", "--same-permissions", "--numeric-owner", "--xattrs",
		"--xattrs-include=*", "-f", archive)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("unpacking: %v\n%s", err, out)
	}
	r := tar.NewReader(&b)
	for i, name := range names {
		want := treetest.Spelled(files[name])
		h, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, want) || h.Size != int64(len(want)) || h.Uid != 3000000 ||
			!h.ModTime.Equal(times[i]) {
			t.Errorf("Go reads %s of %d bytes, owner %d, %v (%v)", h.Name, len(got), h.Uid, h.ModTime, err)
		}
		var st unix.Stat_t
		file := filepath.Join(dir, "dir "+name)
		if unpacked, err := os.ReadFile(file); err != nil || !bytes.Equal(unpacked, want) {
			t.Errorf("tar makes %s with another content (%v)", name, err)
		}
		if err := unix.Lstat(file, &st); err != nil {
			t.Fatal(err)
		}
		if !time.Unix(st.Mtim.Unix()).Equal(times[i]) || st.Uid != 3000000 || st.Mode&0o7777 != 0o4711 {
			t.Errorf("tar makes %s of %v, owner %d, mode %o", name, time.Unix(st.Mtim.Unix()), st.Uid, st.Mode)
		}
		if most := int64(strings.Count(files[name], "")-strings.Count(files[name], ".")+
			1) * PieceSize; st.Blocks*512 > most {
			t.Errorf("%s takes %d bytes, want at most %d", name, st.Blocks*512, most)
		}
		attribute := make([]byte, 10)
		if n, err := unix.Getxattr(file, "user.a", attribute); err != nil || string(attribute[:n]) != "b\n" {
			t.Errorf("%s has the attribute %q (%v)", name, attribute[:max(n, 0)], err)
		}
		if h, err = r.Next(); err != nil || h.Name != fmt.Sprintf("after%d", i) {
			t.Fatalf("behind it is %v (%v)", h, err)
		}
	}
}

func second(_ int, err error) error { return err }
