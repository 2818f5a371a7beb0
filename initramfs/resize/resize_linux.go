// Package resize shrinks the filesystems of Linux, so that other partitions have room beside them: ext2, ext3, ext4 and
// btrfs.
//
// Call Check first: it says why a filesystem cannot be shrunk to a size, and writes nothing. Shrink shrinks it. Then
// the caller changes the partition table. After a crash, Shrink with Options.Begun continues where an earlier one was
// interrupted.
//
// What a crash leaves:
//
//	ext2, ext3, ext4   all files, and often bitmaps and counts that are wrong, which Shrink corrects (see ext_linux.go)
//	btrfs              the filesystem whole, in either size: the kernel writes the new one in one transaction
//
// It guarantees: Check, Whole and Size change nothing. Nothing is written before all checks have passed. A resize2fs
// that has begun is not killed when its caller is, and while it runs, no one can mount the filesystem. A power cut
// leaves no more than a kill does, while the caller runs: what is written is on the disk before what names it.
//
// The programs are e2fsck and resize2fs of e2fsprogs, and btrfs of btrfs-progs; the kernel shrinks a btrfs.
package resize

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"griddle/initramfs/ntfs/trace"

	"golang.org/x/sys/unix"
)

// exts are the filesystems of e2fsprogs.
var exts = []string{"ext2", "ext3", "ext4"}

// Programs are those that are needed for a filesystem of a kind.
func Programs(kind string) []string {
	if slices.Contains(exts, kind) {
		return []string{"e2fsck", "resize2fs"}
	}
	return []string{"btrfs"}
}

// Begun is what a journal keeps of a shrink from before its first write on.
type Begun struct {
	// Mounted is when an ext2, ext3 or ext4 was mounted last, in seconds since 1970: if it was mounted since, what is
	// wrong in it is not what an interruption left.
	Mounted uint32 `json:"mounted"`
}

// Options say what is shrunk.
type Options struct {
	Node   string // device file of the partition
	Kind   string // of the filesystem: "ext2", "ext3", "ext4" or "btrfs"
	To     int64  // bytes, whole MiB: the filesystem will have at most as many
	Begun  *Begun // of a shrink that was interrupted; else nil
	Record func(context.Context, Begun) error
	// Progress gets what is done, in words; may be nil.
	Progress func(phase string)

	before func(write int, c trace.Call) error // of tests: called before each write of a program, counted from 1
}

// Check proves that a filesystem is whole and can be shrunk to a size, as far as that can be known. It writes nothing.
func Check(ctx context.Context, node, kind string, to int64) error {
	if _, err := superOf(node, kind); err != nil {
		return err
	}
	if slices.Contains(exts, kind) {
		return checkExt(ctx, node, to)
	}
	return checkBtrfs(ctx, node)
}

// Whole proves that a filesystem that was shrunk is whole. It writes nothing.
func Whole(ctx context.Context, node, kind string) error {
	if slices.Contains(exts, kind) {
		return wholeExt(ctx, node)
	}
	return checkBtrfs(ctx, node)
}

// Shrink shrinks a filesystem. On success it is whole in its new size, and on the disk. Record is called before the
// first write, and keeps what a later Shrink needs as Begun. Without Begun an error before that has changed nothing.
func Shrink(ctx context.Context, o Options) error {
	s, err := superOf(o.Node, o.Kind)
	if err == nil && o.Begun != nil {
		o.say("waiting for what may still run")
		err = free(ctx, o.Node, patience)
	}
	switch {
	case err != nil:
	case slices.Contains(exts, o.Kind):
		err = o.shrinkExt(ctx, s)
	default:
		err = o.shrinkBtrfs(ctx)
	}
	if err == nil {
		s, err = superOf(o.Node, o.Kind)
	}
	if err == nil && s.size > o.To {
		err = fmt.Errorf("it should have been shrunk, and has %d bytes", s.size)
	}
	if err != nil {
		return fmt.Errorf("shrinking the %s on %s to %d bytes: %w", o.Kind, o.Node, o.To, err)
	}
	return nil
}

func (o Options) say(phase string) {
	if o.Progress != nil {
		o.Progress(phase)
	}
}

// patience is how long a program may still run after the one that started it was killed.
const patience = time.Hour

// free waits until no one has a partition for himself, as mounts and the programs of this package have.
func free(ctx context.Context, node string, patience time.Duration) error {
	for end := time.Now().Add(patience); ; {
		f, err := os.OpenFile(node, os.O_RDWR|unix.O_EXCL|unix.O_CLOEXEC, 0)
		if err == nil {
			return f.Close()
		}
		if !errors.Is(err, unix.EBUSY) || time.Now().After(end) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
	}
}
