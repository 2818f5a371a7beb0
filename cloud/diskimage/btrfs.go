package diskimage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// makeBtrfs makes the root of the tree below dir in a file of its own, since mkfs.btrfs knows no offset, and moves what is in
// it to its place in the disk.
func makeBtrfs(ctx context.Context, p programs, disk *os.File, dir string, size int64, s spec) (err error) {
	part := disk.Name() + ".btrfs"
	f, err := os.OpenFile(part, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(part)) }()
	if err := f.Truncate(size); err != nil {
		return err
	}
	// Block groups of metadata twice, as on one disk by default; said, since older versions looked whether it spins.
	if err := p.run(ctx, call{inside: true}, "mkfs.btrfs", "--quiet", "--label", "griddle-root", "--uuid", s.id("root"),
		"--metadata", "dup", "--data", "single", "--rootdir", dir, part); err != nil {
		return err
	}
	return copyData(disk, rootStart, f)
}

// copyData copies what is not a hole.
func copyData(to *os.File, at int64, from *os.File) error {
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
		if _, err := io.Copy(io.NewOffsetWriter(to, at+data), io.NewSectionReader(from, data, hole-data)); err != nil {
			return fmt.Errorf("copying the root: %w", err)
		}
		pos = hole
	}
	return nil
}
