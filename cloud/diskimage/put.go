package diskimage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"griddle/imagestore/durable"
)

// Extension is what the name of a file of a format ends with, the dot included.
func (f Format) Extension() string {
	if f == Tree {
		return ".tar"
	}
	return "." + string(f)
}

// Put copies the disk to a file outside of the cache, so that writing to it does not change what the cache has,
// and reports whether it had to: a file with the same content stays as it is. Holes stay holes. Under its name
// the file is the old one or the new one, whole, at any time, and durable when Put returns: the copy is
// .NAME.partial in the same directory, synced before it is renamed. A run that is killed leaves that, and the
// next one writes it from the beginning.
func (d Disk) Put(ctx context.Context, name string) (copied bool, err error) {
	if same, err := d.isAt(ctx, name); same || err != nil {
		return false, err
	}
	var disk durable.Disk
	dir := filepath.Dir(name)
	if err := disk.MkdirAll(dir, 0o755); err != nil {
		return false, err
	}
	from, err := os.Open(d.Path)
	if err != nil {
		return false, err
	}
	defer from.Close()
	partial := partialName(name)
	to, err := openPartial(partial)
	if err != nil {
		return false, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(partial))
		}
	}()
	defer to.Close()
	// On filesystems that can, both files have the same blocks.
	if err := unix.IoctlFileClone(int(to.Fd()), int(from.Fd())); err != nil {
		if err := to.Truncate(d.Size); err != nil {
			return false, err
		}
		if err := copyData(ctx, to, 0, from); err != nil {
			return false, err
		}
	}
	if err := errors.Join(to.Sync(), to.Close()); err != nil {
		return false, err
	}
	if err := disk.Rename(partial, name); err != nil {
		return false, err
	}
	return true, disk.SyncDir(dir)
}

// openPartial opens an empty file that no other process writes to, until it is closed.
func openPartial(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	var named, open fs.FileInfo
	if err == nil {
		if named, err = os.Lstat(name); err == nil {
			open, err = f.Stat()
		}
	}
	// Who had the lock may have finished since, and then this is a file that has its name already.
	if errors.Is(err, unix.EWOULDBLOCK) || errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(named, open) {
		err = fmt.Errorf("writing %s: another process does that now; try again when it is done", name)
	}
	if err == nil {
		err = f.Truncate(0)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// partialName is the name of a copy that is not complete.
func partialName(name string) string {
	return filepath.Join(filepath.Dir(name), "."+filepath.Base(name)+".partial")
}

// RemovePartial removes what a Put to this name that was killed has left, if anything.
func RemovePartial(name string) error {
	if err := os.Remove(partialName(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// isAt reports whether a file has the disk's content.
func (d Disk) isAt(ctx context.Context, name string) (bool, error) {
	st, err := os.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case !st.Mode().IsRegular():
		return false,
			fmt.Errorf("writing %s: it is there and is not a plain file; remove it, or choose another directory", name)
	case st.Size() != d.Size:
		return false, nil
	}
	digest, _, err := fileDigest(ctx, name, nil)
	return digest == d.Digest, err
}

// copyData copies what is not a hole to a file of zeros. at is where the copy begins there.
func copyData(ctx context.Context, to *os.File, at int64, from *os.File) error {
	end, err := from.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	for pos := int64(0); pos < end; {
		data, err := unix.Seek(int(from.Fd()), pos, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading %s: %w", from.Name(), err)
		}
		hole, err := unix.Seek(int(from.Fd()), data, unix.SEEK_HOLE)
		if err != nil {
			return fmt.Errorf("reading %s: %w", from.Name(), err)
		}
		hole = min(hole, data+64*mib) // a cancelled context is to be heard
		if _, err := io.Copy(io.NewOffsetWriter(to, at+data), io.NewSectionReader(from, data, hole-data)); err != nil {
			return fmt.Errorf("writing %s: %w", to.Name(), err)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		pos = hole
	}
	return nil
}
