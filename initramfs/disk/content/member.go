package content

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
)

// The names of what a member belongs to, read from its own metadata.

// mdVariant is the level of a Linux array, "RAID1", from the superblock of one of its members: version 1 has it at 72,
// version 0.90 at 28 (kernel include/uapi/linux/raid/md_p.h). It is "" for a level without a name.
func mdVariant(level uint32) string {
	switch l := int32(level); l {
	case 0, 1, 4, 5, 6, 10:
		return fmt.Sprintf("RAID%d", l)
	case -1:
		return "linear"
	}
	return ""
}

// maxGroup bounds the name of a volume group (LVM2 lib/metadata: NAME_LEN).
const maxGroup = 127

// lvmGroup is the name of the volume group that a physical volume is in, "" for one that is in none. It follows the
// label in sector at to the physical volume's header and from there to the metadata, which is text (LVM2
// lib/format_text/layout.h):
//
//	label   "LABELONE", 12 bytes, offset of the header from the label (u32), "LVM2 001"
//	header  UUID (32 bytes), size (u64), areas of data, areas of metadata; each list of offset and size ends with zeros
//	area    checksum (u32), " LVM2 x[5A%r0N*>", version (u32), start, size (u64), offset of the newest text in it (u64)
//	text    vg0 {
func lvmGroup(r io.ReaderAt, at int64) string {
	le := binary.LittleEndian
	b := make([]byte, 512)
	if !readFull(r, b, at) {
		return ""
	}
	header := int(le.Uint32(b[20:]))
	if header < 32 || header > 256 {
		return ""
	}
	const maxAreas = 8
	lists, areas := b[header+40:], []int64(nil)
	for list := 0; list < 2 && len(areas) < maxAreas && len(lists) >= 16; lists = lists[16:] {
		offset := int64(le.Uint64(lists))
		switch {
		case offset == 0:
			list++
		case list == 1:
			areas = append(areas, offset)
		}
	}
	for _, area := range areas {
		if area <= 0 || !readFull(r, b, area) || string(b[4:20]) != " LVM2 x[5A%r0N*>" {
			continue
		}
		text := int64(le.Uint64(b[40:]))
		name := make([]byte, maxGroup+2)
		if text < 512 || text > 1<<40 || !readFull(r, name, area+text) {
			continue
		}
		if i := bytes.Index(name, []byte(" {")); i > 0 && isGroupName(name[:i]) {
			return string(name[:i])
		}
	}
	return ""
}

func isGroupName(b []byte) bool {
	for _, c := range b {
		if !alphanumeric([]byte{c}) && c != '_' && c != '.' && c != '-' && c != '+' {
			return false
		}
	}
	return true
}
