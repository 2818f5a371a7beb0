package diskimage

import (
	"context"
	"errors"
	"os"

	"griddle/cloud/diskimage/btrfs"
	"griddle/cloud/diskimage/program"
	"griddle/cloud/diskimage/tree"
)

// makeBtrfs makes the root of the tree below dir in a file of its own, since mkfs.btrfs knows no offset, and moves what
// is in it to its place in the disk.
func makeBtrfs(ctx context.Context, p program.Runner, disk *os.File, dir string, size int64, s spec,
	kept tree.Summary) (err error) {
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
	if err := p.Run(ctx, program.Call{Inside: true}, "mkfs.btrfs", "--quiet", "--label", "griddle-root",
		"--uuid", s.id("root"),
		"--metadata", "dup", "--data", "single", "--rootdir", dir, part); err != nil {
		return err
	}
	if err := btrfs.Restore(f, kept.Packed, kept.Times); err != nil {
		return err
	}
	return copyData(ctx, disk, rootStart, f)
}
