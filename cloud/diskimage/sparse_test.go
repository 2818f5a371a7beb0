package diskimage

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// sparse are files with zeros in them, by name. A letter is a MiB of it, "." one of zeros, "'" and "," are 100 bytes of x and of zeros.
func sparse() map[string]string {
	files := map[string]string{
		"front": "...a", "middle": "a....b", "behind": "ab....", "all": "......", "none": "abc", "short end": "......'", "zero end": "a.....,",
		"end after data": ".a....'", "two": ".'", "alternate": "a.b.c.d.e", "long": strings.Repeat(".", 20) + "z", "deep/er/file": "..a..",
	}
	for i := range 400 { // so that the trees have inner nodes
		files[fmt.Sprintf("many/%03d", i)] = "'"
	}
	for i := range 8 {
		files[fmt.Sprintf("many/%03d-", 50*i)] = ".a,"
	}
	return files
}

// spelled is the content that sparse describes.
func spelled(s string) []byte {
	var b bytes.Buffer
	for _, c := range s {
		switch c {
		case '.':
			b.Write(make([]byte, mib))
		case '\'':
			b.WriteString(strings.Repeat("x", 100))
		case ',':
			b.Write(make([]byte, 100))
		default:
			b.Write(bytes.Repeat([]byte{byte(c)}, mib))
		}
	}
	return b.Bytes()
}

func sparseImage(files map[string]string) Image {
	return Image{Ref: "sparse:1@amd64", Digest: "sha256:" + strings.Repeat("0", 64), Arch: "amd64", Tar: func(_ context.Context, w io.Writer) error {
		a := tar.NewWriter(w)
		put := func(h *tar.Header, b []byte) error {
			h.Mode, h.Size, h.Format = 0o644, int64(len(b)), tar.FormatPAX
			err := a.WriteHeader(h)
			if err == nil {
				_, err = a.Write(b)
			}
			return err
		}
		err := put(&tar.Header{Name: "boot/vmlinuz-1"}, []byte("kern"))
		for name, s := range files {
			err = errors.Join(err, put(&tar.Header{Name: name}, spelled(s)))
		}
		return errors.Join(err, put(&tar.Header{Name: "link", Typeflag: tar.TypeLink, Linkname: "middle"}, nil), a.Close())
	}}
}

// TestSparse mounts disks of files with holes: what is in the files is the same, and holes take no room.
func TestSparse(t *testing.T) {
	files := sparse()
	for fs, piece := range map[Filesystem]int64{Ext4: blockSize, Btrfs: pieceSize} {
		t.Run(string(fs), func(t *testing.T) {
			c := &Cache{Dir: t.TempDir(), Warn: func(s string) { t.Errorf("it warned: %s", s) }}
			d := make1(t, c, sparseImage(files), Options{Format: Raw, Filesystem: fs})
			if d.Virtual > 768*mib {
				t.Errorf("the disk has %d MiB", d.Virtual/mib)
			}
			root := partition(t, d.Path)
			if fs == Btrfs {
				output(t, "btrfs", "check", "--check-data-csum", root)
			} else {
				output(t, "e2fsck", "-fn", root)
			}
			at := mounted(t, root)
			files["link"] = files["middle"]
			defer delete(files, "link")
			for name, s := range files {
				want := spelled(s)
				var room int64
				for i := int64(0); i < int64(len(want)); i += piece {
					if !isZero(want[i:min(i+piece, int64(len(want)))]) {
						room += piece
					}
				}
				var st unix.Stat_t
				if err := unix.Stat(filepath.Join(at, name), &st); err != nil {
					t.Fatal(err)
				}
				// One piece more where a short end would have been alone, and one block for where the pieces are.
				if got := st.Blocks * 512; got > room+piece+blockSize {
					t.Errorf("%s takes %d bytes, want %d", name, got, room)
				}
				if got := digestOf(t, filepath.Join(at, name)); got != sha256.Sum256(want) {
					t.Errorf("%s has another content", name)
				}
			}
		})
	}
}

func digestOf(t *testing.T, name string) [32]byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return sha256.Sum256(b)
}

// TestPackedPlace: an extent that is not within one piece is refused.
func TestPackedPlace(t *testing.T) {
	p := packed{size: 9 * pieceSize, pieces: []int64{2, 5, 8}}
	for _, c := range []struct {
		offset, length, want uint64
		bad                  bool
	}{
		{0, pieceSize, 2 * pieceSize, false}, {pieceSize + 4096, 4096, 5*pieceSize + 4096, false}, {2 * pieceSize, 4096, 8 * pieceSize, false},
		{0, 2 * pieceSize, 0, true}, {4096, pieceSize, 0, true}, {3 * pieceSize, 4096, 0, true},
	} {
		got, err := p.place(c.offset, c.length)
		if got != c.want || errors.Is(err, errLayout) != c.bad {
			t.Errorf("place(%d, %d) = %d, %v, want %d", c.offset, c.length, got, err, c.want)
		}
	}
}

// TestWriteSparse has GNU tar unpack files with holes, and Go's reader read them.
func TestWriteSparse(t *testing.T) {
	p, err := newPacker(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	var b bytes.Buffer
	out := tar.NewWriter(&b)
	times := []time.Time{time.Unix(1600000000, 5), time.Unix(-1, 500000000), time.Unix(-100, 1), time.Unix(-100, 0), time.Unix(0, 7), time.Unix(5000000000, 0)}
	files := sparse()
	names := []string{"front", "middle", "behind", "short end", "all", "alternate"}
	for i, name := range names {
		content := spelled(files[name])
		kept, size, err := p.pack(bytes.NewReader(content), int64(len(content)))
		if err != nil {
			t.Fatal(err)
		}
		h := &tar.Header{Name: "./dir " + name, Mode: 0o4711, Uid: 3000000, Gid: 7, ModTime: times[i], PAXRecords: map[string]string{"SCHILY.xattr.user.a": "b\n"}}
		if err := writeSparse(&b, h, kept, p.spool, size); err != nil {
			t.Fatal(err)
		}
		// What comes behind is found.
		if err := errors.Join(out.WriteHeader(&tar.Header{Name: fmt.Sprintf("after%d", i), Size: 3, Mode: 0o600}), second(out.Write([]byte("abc"))), out.Flush()); err != nil {
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
	output(t, "tar", "-x", "-C", dir, "--same-owner", "--same-permissions", "--numeric-owner", "--xattrs", "--xattrs-include=*", "-f", archive)
	r := tar.NewReader(&b)
	for i, name := range names {
		want := spelled(files[name])
		h, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, want) || h.Size != int64(len(want)) || h.Uid != 3000000 || !h.ModTime.Equal(times[i]) {
			t.Errorf("Go reads %s of %d bytes, owner %d, %v (%v)", h.Name, len(got), h.Uid, h.ModTime, err)
		}
		var st unix.Stat_t
		file := filepath.Join(dir, "dir "+name)
		if err := unix.Lstat(file, &st); err != nil {
			t.Fatal(err)
		}
		if !time.Unix(st.Mtim.Unix()).Equal(times[i]) || st.Uid != 3000000 || st.Mode&0o7777 != 0o4711 || digestOf(t, file) != sha256.Sum256(want) {
			t.Errorf("tar makes %s of %v, owner %d, mode %o", name, time.Unix(st.Mtim.Unix()), st.Uid, st.Mode)
		}
		if most := int64(strings.Count(files[name], "")-strings.Count(files[name], ".")+1) * pieceSize; st.Blocks*512 > most {
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
