package diskimage

import (
	"context"
	"errors"
	"os"
)

// makeBtrfs makes the root of the tree below dir in a file of its own, since mkfs.btrfs knows no offset, and moves what is in
// it to its place in the disk.
func makeBtrfs(ctx context.Context, p programs, disk *os.File, dir string, size int64, s spec, kept found) (err error) {
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
	if err := mend(f, kept.packed, kept.times); err != nil {
		return err
	}
	return copyData(ctx, disk, rootStart, f)
}
