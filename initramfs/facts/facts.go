// Package facts says of a filesystem what a plan needs to know before anything is changed: how much of it is used, how
// small it may become, why it must not be changed, and which systems are in it.
//
// Call Of with a partition as disk.Scanner found it.
//
// It only reads. The superblocks of ext2, ext3, ext4 and btrfs and the table of a FAT are read by this package. For the
// smallest size of an ext it asks resize2fs, and for all of an NTFS package ntfs, whose programs are killed before they
// write, and package windows. Only a pool of Griddle is mounted, read-only and without a replay of its log.
//
// What is on a disk is hostile: numbers are checked before they count, and a program has limits of output and memory.
// The time has the limit of the caller's context. A program that reads a disk that does not answer ends when the disk
// does.
//
// Sources: the kernel's Documentation/filesystems/ext4/super.rst, fs/btrfs/ctree.h and volumes.c; Microsoft's
// fatgen103; resize2fs(8) of e2fsprogs 1.47.
package facts

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"griddle/appliance/job"
	"griddle/initramfs/disk"
	"griddle/initramfs/disk/content"

	"golang.org/x/sys/unix"
)

const mib = 1 << 20

// Margin is what a system needs beside its files, in bytes. The smallest size of a filesystem has it.
const Margin = 512 * mib

// Of says what is known of the filesystem in a partition of the disk whose device file is path. It is zero if the
// filesystem is of another kind, and if ctx ends before everything is known.
func Of(ctx context.Context, path string, p content.Partition) content.Facts {
	const sys = "/sys"
	look := map[string]func(context.Context, *os.File, int64) (content.Facts, error){
		"ntfs": ofNTFS, "ext2": ofExt, "ext3": ofExt, "ext4": ofExt, "btrfs": ofBtrfs, "vfat": ofFAT}[p.Signature.Type]
	if look == nil {
		return content.Facts{}
	}
	node, err := disk.Node(path, sys, p.Number)
	if err == nil && !same(filepath.Join(sys, "class/block", filepath.Base(node)), p) {
		return content.Facts{} // the kernel knows another table than the disk has
	}
	var f *os.File
	if err == nil {
		f, err = os.OpenFile(node, os.O_RDONLY|unix.O_CLOEXEC, 0)
	}
	var found content.Facts
	if err == nil {
		defer f.Close()
		found, err = look(ctx, f, p.Size)
	}
	shared := p.Signature.Type == "ext4" && p.Mark.Finished // of roots that are partitions
	fit := found.Unfit == "" || found.Unfit == several
	if err == nil && (p.Signature.Type == "btrfs" && fit || shared) {
		found.Pool, err = poolOf(path, node)
	}
	switch {
	case ctx.Err() != nil:
		return content.Facts{}
	case err != nil:
		return content.Facts{Unfit: job.Sentence("it could not be looked at: " + err.Error())}
	}
	return found
}

// same says whether the kernel has the partition where the table has it. Its sizes are in sectors of 512 bytes.
func same(dir string, p content.Partition) bool {
	number := func(name string) int64 {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return -1
		}
		n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 54)
		if err != nil {
			return -1
		}
		return n * 512
	}
	return number("start") == p.Start && number("size") == p.Size
}

// read reads n bytes at a place.
func read(r io.ReaderAt, at int64, n int) ([]byte, error) {
	b := make([]byte, n)
	if got, err := r.ReadAt(b, at); got < n {
		return nil, fmt.Errorf("reading %d bytes at byte %d: %w", n, at, err)
	}
	return b, nil
}

// roundUp rounds up to whole MiB.
func roundUp(n int64) int64 { return (n + mib - 1) / mib * mib }
