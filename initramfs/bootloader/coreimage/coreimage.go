// Package coreimage tells whose a core.img of GRUB for BIOS is, as it is on a disk.
//
// Call Griddles with a disk and the byte at which a boot record's core.img begins. All that a GRUB differs in, its
// prefix and its first commands, is compressed behind two programs that every GRUB of a version shares:
//
//	diskboot.img            lzma_decompress.img                  compressed                 zeros
//	+---------------------+------------------------------------+--------------------------+-----------------+
//	| 512 bytes; the last | at 0x08: size of "compressed", u32 | kernel.img, the modules, | to the end of a |
//	| 12 are a block list | at 0x0c: its size decompressed     | the prefix; LZMA         | sector          |
//	+---------------------+------------------------------------+--------------------------+-----------------+
//
// What a disk has is hostile: at most 2 MiB are read, and 8 MiB made of them.
//
// Sources: GRUB 2.06, include/grub/offsets.h (GRUB_DECOMPRESSOR_I386_PC_*), util/mkimage.c (compress_kernel_lzma),
// include/grub/i386/pc/boot.h (the block list).
package coreimage

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Prefix is where Griddle's core.img looks for its configuration: the folder of the second partition of its disk.
const Prefix = "(,gpt2)/griddle"

const (
	sector = 512
	// in diskboot.img: u64 first sector of the rest, u16 sectors, u16 segment
	blocklist    = sector - 12
	blocklistLen = blocklist + 8
	// in lzma_decompress.img
	compressedSize, plainSize = 0x08, 0x0c

	maxImage = 2 << 20
	maxPlain = 8 << 20
)

// Griddles says whether there is a core.img of Griddle at a byte of a disk, of any version. What is not a core.img in
// one piece is not Griddle's. An error is one of the disk.
func Griddles(disk io.ReaderAt, at int64) (bool, error) {
	head := make([]byte, 2*sector)
	if n, err := disk.ReadAt(head, at); n < len(head) {
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		return false, fmt.Errorf("reading core.img at byte %d: %w", at, err)
	}
	size := int64(binary.LittleEndian.Uint16(head[blocklistLen:])) * sector
	if first := binary.LittleEndian.Uint64(head[blocklist:]); first != uint64(at/sector)+1 || size > maxImage {
		return false, nil
	}
	rest := make([]byte, size)
	if n, err := disk.ReadAt(rest, at+sector); n < len(rest) {
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		return false, fmt.Errorf("reading core.img at byte %d: %w", at, err)
	}
	for _, plain := range kernels(rest) {
		if bytes.Contains(plain, []byte(Prefix+"\x00")) {
			return true, nil
		}
	}
	return false, nil
}

// kernels are what may be compressed in an image without its diskboot.img. Nothing says where the compressed part
// begins: it ends with the image, before the zeros that fill its last sector, of which it may have the first ones.
func kernels(rest []byte) (out [][]byte) {
	if len(rest) < sector {
		return nil
	}
	packed, size := binary.LittleEndian.Uint32(rest[compressedSize:]), binary.LittleEndian.Uint32(rest[plainSize:])
	if packed == 0 || size > maxPlain {
		return nil
	}
	used := len(bytes.TrimRight(rest, "\x00"))
	for end := used; end <= min(len(rest), used+4); end++ {
		if start := int64(end) - int64(packed); start >= plainSize+4 {
			if plain, err := decompress(rest[start:end], int(size)); err == nil {
				out = append(out, plain)
			}
		}
	}
	return out
}
