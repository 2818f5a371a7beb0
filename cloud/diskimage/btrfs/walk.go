package btrfs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
)

// filesystem is one whose trees are read and changed in place (Linux, Documentation/filesystems/btrfs,
// fs/btrfs/accessors.h):
//
//	superblock, at 64 KiB:  … 64 magic "_BHRfS_M"  80 root tree  88 chunk tree  148 node size
//	                        160 size of 811  196 kind of checksum  811 chunks of the chunk tree: a key, then the item
//	node:                   0 checksum of all behind 32  48 address  96 number of items  100 level  101 items
//	  leaf's item:          0 key  17 offset behind 101  21 size
//	  inner node's item:    0 key  17 address of the child  25 generation
//	key:                    0 object  8 type  9 offset
//	chunk's item:           0 length  … 44 number of stripes, 48 stripes: 0 device  8 address  16 UUID
type filesystem struct {
	f      *os.File
	node   int // bytes
	chunks []chunk
	roots  map[uint64]uint64 // addresses of trees
}

type itemKey struct {
	object uint64
	kind   byte
	offset uint64
}

// chunk says where a range of addresses is on the disk: each of the places has all of it.
type chunk struct {
	start, length uint64
	places        []uint64
}

const (
	superblock = 64 << 10
	nodeHead   = 101
	maxLevel   = 8
)

// open reads where the trees are.
func open(f *os.File) (*filesystem, error) {
	le := binary.LittleEndian
	var s [4096]byte
	if _, err := f.ReadAt(s[:], superblock); err != nil {
		return nil, fmt.Errorf("reading the superblock: %w", err)
	}
	fs := &filesystem{f: f, node: int(le.Uint32(s[148:])), roots: map[uint64]uint64{}}
	system := s[811:][:min(le.Uint32(s[160:]), 2048)]
	if string(s[64:72]) != "_BHRfS_M" || le.Uint16(s[196:]) != 0 || fs.node < 4096 || fs.node > 65536 {
		return nil, fmt.Errorf("%w: the superblock has another kind of checksum or node", ErrLayout)
	}
	for len(system) >= 17 {
		n, err := fs.chunk(readKey(system), system[17:])
		if err != nil {
			return nil, err
		}
		system = system[17+n:]
	}
	known := len(fs.chunks)
	if _, err := fs.change(le.Uint64(s[88:]), false, func(key *itemKey, item []byte) error {
		if key.kind != 228 {
			return nil
		}
		_, err := fs.chunk(*key, item)
		return err
	}, 0); err != nil {
		return nil, err
	}
	fs.chunks = fs.chunks[known:] // those of the chunk tree are in it again
	_, err := fs.change(le.Uint64(s[80:]), false, func(key *itemKey, item []byte) error {
		if key.kind == rootItem && len(item) >= 184 {
			fs.roots[key.object] = le.Uint64(item[176:])
		}
		return nil
	}, 0)
	if err == nil && (fs.roots[fsTree] == 0 || fs.roots[extentTree] == 0) {
		err = fmt.Errorf("%w: the tree of files or of extents is missing", ErrLayout)
	}
	return fs, err
}

// chunk notes a chunk and returns how long its item is.
func (fs *filesystem) chunk(key itemKey, item []byte) (int, error) {
	le := binary.LittleEndian
	if len(item) < 48 {
		return 0, fmt.Errorf("%w: a chunk of %d bytes", ErrLayout, len(item))
	}
	stripes := int(le.Uint16(item[44:]))
	size := 48 + 32*stripes
	// One device, whose chunks are there once (single) or twice (DUP, bit 5): with others an
	// address would be shared out.
	if len(item) < size || stripes < 1 || stripes > 2 || le.Uint64(item[24:])&^uint64(1|2|4|1<<5) != 0 {
		return 0, fmt.Errorf("%w: a chunk of %d stripes", ErrLayout, stripes)
	}
	c := chunk{start: key.offset, length: le.Uint64(item)}
	for i := range stripes {
		c.places = append(c.places, le.Uint64(item[48+32*i+8:]))
	}
	fs.chunks = append(fs.chunks, c)
	return size, nil
}

// places are where on the disk a node is.
func (fs *filesystem) places(address uint64) ([]int64, error) {
	for _, c := range fs.chunks {
		if address >= c.start && address-c.start < c.length {
			var at []int64
			for _, p := range c.places {
				at = append(at, int64(p+address-c.start))
			}
			return at, nil
		}
	}
	return nil, fmt.Errorf("%w: nothing is at the address %d", ErrLayout, address)
}

// change walks over the items of the tree at an address, in order. What each changes of an item and its key is written,
// to every copy and with its checksum, where write says so. It returns the tree's first key.
func (fs *filesystem) change(address uint64, write bool, each func(*itemKey, []byte) error,
	depth int) (first itemKey, err error) {
	le := binary.LittleEndian
	places, err := fs.places(address)
	if err != nil {
		return first, err
	}
	b := make([]byte, fs.node)
	if _, err := fs.f.ReadAt(b, places[0]); err != nil {
		return first, fmt.Errorf("reading a node: %w", err)
	}
	items, level := int(le.Uint32(b[96:])), b[100]
	width := 25
	if level > 0 {
		width = 33
	}
	if le.Uint64(b[48:]) != address || le.Uint32(b) != checksum(b) || depth > maxLevel ||
		items > (fs.node-nodeHead)/width {
		return first, fmt.Errorf("reading a node at %d: it is damaged", address)
	}
	before := checksum(b)
	for i := range items {
		head := b[nodeHead+width*i:]
		key := readKey(head)
		if level > 0 {
			below, err := fs.change(le.Uint64(head[17:]), write, each, depth+1)
			if err != nil {
				return first, err
			}
			key = below
		} else {
			offset, size := int(le.Uint32(head[17:])), int(le.Uint32(head[21:]))
			if offset < 0 || size < 0 || nodeHead+offset+size > fs.node {
				return first, fmt.Errorf("reading a node at %d: it is damaged", address)
			}
			if err := each(&key, b[nodeHead+offset:][:size]); err != nil {
				return first, err
			}
		}
		writeKey(head, key)
		if i == 0 {
			first = key
		}
	}
	sum := checksum(b)
	if !write || sum == before {
		return first, nil
	}
	le.PutUint32(b, sum)
	for _, at := range places {
		if _, werr := fs.f.WriteAt(b, at); werr != nil {
			err = errors.Join(err, fmt.Errorf("writing a node: %w", werr))
		}
	}
	return first, err
}

func checksum(node []byte) uint32 {
	return crc32.Checksum(node[32:], crc32.MakeTable(crc32.Castagnoli))
}

func readKey(b []byte) itemKey {
	return itemKey{binary.LittleEndian.Uint64(b), b[8], binary.LittleEndian.Uint64(b[9:])}
}

func writeKey(b []byte, k itemKey) {
	binary.LittleEndian.PutUint64(b, k.object)
	b[8] = k.kind
	binary.LittleEndian.PutUint64(b[9:], k.offset)
}
