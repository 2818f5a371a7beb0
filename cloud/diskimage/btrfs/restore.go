// Package btrfs changes what mkfs.btrfs --rootdir wrote, in place: files get their holes back, and
// times their nanoseconds.
//
// Call Restore with the file that mkfs.btrfs wrote. It knows the trees of a fresh filesystem on one device with
// crc32c checksums, and reads everything before it writes anything: what it does not know is ErrLayout, and the
// filesystem is unchanged.
//
// Sources: Linux, Documentation/filesystems/btrfs, include/uapi/linux/btrfs_tree.h, fs/btrfs/accessors.h.
package btrfs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"griddle/cloud/diskimage/tree"
)

// ErrLayout says that the filesystem has something that this package does not know.
var ErrLayout = errors.New("mkfs.btrfs lays files out in another way")

// Types of items and the trees that are looked at (Linux, include/uapi/linux/btrfs_tree.h).
const (
	inodeItem, dirIndex, extentData, rootItem, extentItem, extentDataRef = 1, 96, 108, 132, 168, 178
	extentTree, fsTree                                                   = 2, 5
	firstInode                                                           = 256 // the root folder of a tree
)

// Restore gives a filesystem what mkfs.btrfs leaves out. It got the pieces of files that are not zero, one behind the
// other: the items of their extents and the references to them move to where the pieces belong, and the inodes get
// their sizes. With the feature no-holes, which is the default, a hole is what no item speaks of. It writes whole
// seconds: the times of modification get the rest. Nothing changes its place on the disk, and the order of keys stays
// as it is. It returns an error that wraps ErrLayout, and has changed nothing, where an extent is not within one piece.
func Restore(f *os.File, files map[string]tree.Packed, times map[string]time.Time) error {
	if len(files)+len(times) == 0 {
		return nil
	}
	fs, err := open(f)
	if err != nil {
		return err
	}
	inodes, err := fs.find(files, times)
	if err != nil {
		return err
	}
	// Everything is looked at before anything is written.
	for _, write := range []bool{false, true} {
		for _, tree := range []uint64{fsTree, extentTree} {
			if _, err := fs.change(fs.roots[tree], write,
				func(key *itemKey, item []byte) error { return move(inodes, tree, key, item) }, 0); err != nil {
				return err
			}
		}
	}
	return nil
}

// inode is what changes of an inode.
type inode struct {
	file  *tree.Packed // nil: nothing was left out of it
	mtime *time.Time   // nil: stays
}

// move changes one item.
func move(inodes map[uint64]inode, tree uint64, key *itemKey, item []byte) error {
	le := binary.LittleEndian
	if tree == extentTree {
		// An extent of data: 24 bytes, then references: type 1, tree 8, inode 8, offset 8, count 4.
		const ref = 24
		if key.kind != extentItem || len(item) < ref+29 || item[ref] != extentDataRef ||
			le.Uint64(item[ref+1:]) != fsTree {
			return nil
		}
		file := inodes[le.Uint64(item[ref+9:])].file
		if file == nil {
			return nil
		}
		at, err := place(*file, le.Uint64(item[ref+17:]), key.offset)
		le.PutUint64(item[ref+17:], at)
		return err
	}
	change, ok := inodes[key.object]
	if !ok {
		return nil
	}
	file := change.file
	switch key.kind {
	case inodeItem:
		// 16 size, 136 time of modification: seconds 8, nanoseconds 4.
		if len(item) != 160 {
			return fmt.Errorf("%w: an inode of %d bytes", ErrLayout, len(item))
		}
		if file != nil {
			le.PutUint64(item[16:], uint64(file.Size))
		}
		if t := change.mtime; t != nil {
			le.PutUint64(item[136:], uint64(t.Unix()))
			le.PutUint32(item[144:], uint32(t.Nanosecond()))
		}
	case extentData:
		if file == nil {
			return nil
		}
		// 21 bytes, of which the last is the type (1: on the disk), then address, length there, offset
		// in it, length: 8 each.
		if len(item) != 53 || item[20] != 1 || le.Uint64(item[37:]) != 0 {
			return fmt.Errorf("%w: an extent of another kind", ErrLayout)
		}
		at, err := place(*file, key.offset, le.Uint64(item[45:]))
		key.offset = at
		return err
	}
	return nil
}

// place is where in the file an extent belongs that is at offset in what was packed.
func place(p tree.Packed, offset, length uint64) (uint64, error) {
	n := offset / tree.PieceSize
	if n >= uint64(len(p.Pieces)) || offset%tree.PieceSize+length > tree.PieceSize {
		return 0, fmt.Errorf("%w: an extent of %d bytes at %d", ErrLayout, length, offset)
	}
	return uint64(p.Pieces[n])*tree.PieceSize + offset%tree.PieceSize, nil
}

// find returns what changes by inodes, which it finds by the names in the folders.
func (fs *filesystem) find(files map[string]tree.Packed, times map[string]time.Time) (map[uint64]inode, error) {
	type entry struct {
		dir  uint64
		name string
	}
	changes, wanted := map[string]inode{}, map[string]bool{}
	for name, file := range files {
		changes[name] = inode{file: &file}
	}
	for name, t := range times {
		changes[name] = inode{changes[name].file, &t}
	}
	for name := range changes {
		for part := range strings.SplitSeq(name, "/") {
			wanted[part] = true
		}
	}
	entries := map[entry]uint64{}
	if _, err := fs.change(fs.roots[fsTree], false, func(key *itemKey, item []byte) error {
		// The key of what it is 17, number of the change 8, length of data 2, of the name 2, type 1, name.
		if key.kind != dirIndex || len(item) < 30 {
			return nil
		}
		n := int(binary.LittleEndian.Uint16(item[27:]))
		if name := item[30:]; n <= len(name) && wanted[string(name[:n])] {
			entries[entry{key.object, string(name[:n])}] = binary.LittleEndian.Uint64(item)
		}
		return nil
	}, 0); err != nil {
		return nil, err
	}
	found := map[uint64]inode{}
	for name, change := range changes {
		at := uint64(firstInode)
		if name != "." {
			for part := range strings.SplitSeq(name, "/") {
				at = entries[entry{at, part}]
			}
		}
		if _, twice := found[at]; at == 0 || twice {
			return nil, fmt.Errorf("%w: %.200q is not found, or is another file, too", ErrLayout, name)
		}
		found[at] = change
	}
	return found, nil
}
