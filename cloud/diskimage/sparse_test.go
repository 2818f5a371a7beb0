package diskimage

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"griddle/cloud/diskimage/tree"
	"griddle/cloud/diskimage/tree/treetest"

	"golang.org/x/sys/unix"
)

func sparseImage(files map[string]string) Image {
	return Image{Ref: "sparse:1@amd64", Digest: "sha256:" + strings.Repeat("0", 64), Arch: "amd64",
		Tar: func(_ context.Context, w io.Writer, _ Bytes) error {
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
				err = errors.Join(err, put(&tar.Header{Name: name}, treetest.Spelled(s)))
			}
			return errors.Join(err, put(&tar.Header{Name: "link", Typeflag: tar.TypeLink, Linkname: "middle"}, nil),
				a.Close())
		}}
}

// TestSparse mounts disks of files with holes: what is in the files is the same, and holes take no room.
func TestSparse(t *testing.T) {
	files := treetest.SparseFiles()
	for fs, piece := range map[Filesystem]int64{Ext4: tree.BlockSize, Btrfs: tree.PieceSize} {
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
				want := treetest.Spelled(s)
				var room int64
				for i := int64(0); i < int64(len(want)); i += piece {
					if !tree.IsZero(want[i:min(i+piece, int64(len(want)))]) {
						room += piece
					}
				}
				var st unix.Stat_t
				if err := unix.Stat(filepath.Join(at, name), &st); err != nil {
					t.Fatal(err)
				}
				// One piece more where a short end would have been alone, and one block for where the pieces are.
				if got := st.Blocks * 512; got > room+piece+tree.BlockSize {
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
