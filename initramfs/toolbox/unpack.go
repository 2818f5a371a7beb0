package toolbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/klauspost/compress/zstd"
	"github.com/u-root/u-root/pkg/cpio"
	"golang.org/x/sys/unix"
)

// window is the largest window of a frame, in bytes: mkboot's, and what the decoder takes of memory.
const window = 16 << 20

// most bounds a name or a link, in bytes.
const most = 4096

// unpack writes the files of an archive below Root.
func (b *Box) unpack(ctx context.Context, compressed io.Reader) error {
	z, err := zstd.NewReader(compressed, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(window))
	if err != nil {
		return err
	}
	defer z.Close()
	root, err := os.OpenRoot(b.Root)
	if err != nil {
		return err
	}
	defer root.Close()
	return unpack(ctx, root, z, b.Archive.Unpacked)
}

// unpack writes the files of a newc archive into root, and nowhere else: no more than limit bytes of them.
func unpack(ctx context.Context, root *os.Root, archive io.Reader, limit int64) error {
	records := cpio.Newc.Reader(&forward{r: archive})
	for {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		r, err := records.ReadRecord()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		limit -= int64(r.FileSize)
		if r.FileSize > 1<<30 || limit < 0 {
			return fmt.Errorf("%.100q: the archive has more than it says", r.Name)
		}
		if err := put(root, r); err != nil {
			return fmt.Errorf("%.100q: %w", r.Name, err)
		}
	}
}

// put writes one file. It is under its name when it is whole.
func put(root *os.Root, r cpio.Record) error {
	if !filepath.IsLocal(r.Name) {
		return errors.New("this name leads out of the archive's folder")
	}
	perm := fs.FileMode(r.Mode & 0o777)
	temporary := r.Name + ".griddle-new"
	switch r.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return root.MkdirAll(r.Name, 0o755)
	case unix.S_IFLNK:
		if r.FileSize > most {
			return errors.New("this link is too long")
		}
		target := make([]byte, r.FileSize)
		if _, err := r.ReadAt(target, 0); err != nil {
			return err
		}
		if err := makeWay(root, temporary); err != nil {
			return err
		}
		if err := root.Symlink(string(target), temporary); err != nil {
			return err
		}
	case unix.S_IFREG:
		if err := makeWay(root, temporary); err != nil {
			return err
		}
		f, err := root.OpenFile(temporary, os.O_CREATE|os.O_EXCL|os.O_WRONLY, perm)
		if err != nil {
			return err
		}
		_, err = io.CopyN(f, io.NewSectionReader(r, 0, int64(r.FileSize)), int64(r.FileSize))
		if err == nil {
			err = f.Chmod(perm)
		}
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
	default:
		return errors.New("only files, folders and links belong into a tools archive")
	}
	return root.Rename(temporary, r.Name)
}

// makeWay makes room for a file of which an earlier try left a part.
func makeWay(root *os.Root, name string) error {
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// forward is the io.ReaderAt of a stream that is read from its beginning to its end.
type forward struct {
	r   io.Reader
	pos int64
}

// ReadAt implements io.ReaderAt. It reads nothing twice.
func (f *forward) ReadAt(p []byte, off int64) (int, error) {
	if off < f.pos {
		return 0, errors.New("a stream cannot be read backwards")
	}
	n, err := io.CopyN(io.Discard, f.r, off-f.pos)
	if f.pos += n; err != nil {
		return 0, err
	}
	got, err := io.ReadFull(f.r, p)
	f.pos += int64(got)
	return got, err
}
