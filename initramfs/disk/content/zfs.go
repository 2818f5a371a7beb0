package content

import (
	"encoding/binary"
	"io"
)

// zfs looks for uberblocks in the four labels, two at each end (OpenZFS include/sys/vdev_impl.h, uberblock_impl.h), and
// in those for the name of the pool.
//
//	8 KiB     8 KiB        112 KiB                   128 KiB
//	+--------+------------+-------------------------+-------------+
//	| blank  | boot block | configuration: a nvlist | uberblocks  |
//	+--------+------------+-------------------------+-------------+
func zfs(r io.ReaderAt, size int64) Signature {
	const label, ring = 256 << 10, 128 << 10
	end := size &^ (label - 1)
	b := make([]byte, ring)
	var s Signature
	for _, at := range []int64{0, label, end - 2*label, end - label} {
		if size < 4*label || !readFull(r, b, at+ring) {
			continue
		}
		for i := 0; i < ring; i += 1024 {
			if m := binary.LittleEndian.Uint64(b[i:]); m == 0x00bab10c || m == 0x0cb1ba0000000000 {
				s.Type = "zfs_member"
			}
		}
		if config := b[:112<<10]; s.Type != "" && readFull(r, config, at+16<<10) {
			if s.Label = nvlistString(config, "name"); s.Label != "" {
				return s
			}
		}
	}
	return s
}

// nvlistString is the value of a pair in an nvlist, where that is a string; else "". ZFS encodes them as XDR (RFC 4506;
// OpenZFS module/nvpair/nvpair.c): every number is big endian, every text is padded to a multiple of 4.
//
//	encoding (1 for XDR), endian, 2 bytes; version, flags; then pairs of
//	size (of the pair), size in memory, length of the name, name, type (9 for a string), count, length, text
func nvlistString(b []byte, name string) string {
	be := binary.BigEndian
	const header, pair, aString = 12, 12, 9
	if len(b) < header || b[0] != 1 {
		return ""
	}
	for b = b[header:]; len(b) >= pair; {
		size, n := int64(be.Uint32(b)), int64(be.Uint32(b[8:]))
		value := pair + (n+3)&^3
		if size < value || size > int64(len(b)) {
			return ""
		}
		if p := b[:size]; string(p[pair:pair+n]) == name && size >= value+12 && be.Uint32(p[value:]) == aString {
			length := int64(be.Uint32(p[value+8:]))
			if length > size-value-12 || length > 256 {
				return ""
			}
			return Text(p[value+12 : value+12+length])
		}
		b = b[size:]
	}
	return ""
}
