package content

import (
	"encoding/binary"
	"io"
)

// tail finds the formats that keep their mark at the end of a member: Linux RAID 0.90 and 1.0 (kernel drivers/md/md.c),
// DRBD, and the RAIDs of firmware, each where util-linux's libblkid/src/superblocks looks for it.
func tail(r io.ReaderAt, size int64) Signature {
	if size < 1<<17 {
		return Signature{}
	}
	raid := Signature{Type: "linux_raid_member"}
	le, b := binary.LittleEndian, make([]byte, 76)
	if readFull(r, b, (size/512-16)&^7*512) && string(b[:8]) == "\xfc\x4e\x2b\xa9\x01\x00\x00\x00" {
		raid.Label, raid.Variant = Text(b[32:64]), mdVariant(le.Uint32(b[72:]))
		return raid
	}
	if readFull(r, b, size&^0xffff-0x10000) {
		switch string(b[:4]) {
		case "\xfc\x4e\x2b\xa9":
			raid.Variant = mdVariant(le.Uint32(b[28:]))
			return raid
		case "\xa9\x2b\x4e\xfc":
			raid.Variant = mdVariant(binary.BigEndian.Uint32(b[28:]))
			return raid
		}
	}
	// DRBD 8 and 9, internal metadata: the last 4 KiB of the device (drbd-headers/drbd_meta_data.h).
	if readFull(r, b, size&^4095-4096) {
		switch string(b[60:64]) {
		case "\x83\x74\x02\x6b", "\x83\x74\x02\x6c", "\x83\x74\x02\x6d":
			return Signature{Type: "drbd"}
		}
	}
	for _, m := range tailMagics() {
		at := size/512*512 - m.back + m.at
		if at >= 0 && readFull(r, b[:len(m.bytes)], at) && string(b[:len(m.bytes)]) == m.bytes {
			return Signature{Type: m.kind}
		}
	}
	if viaRAID(r, size) {
		return Signature{Type: "via_raid_member"}
	}
	return Signature{}
}

// tailMagic is a format that is known by some bytes at one place before the end.
type tailMagic struct {
	kind  string
	back  int64 // bytes before the end of the last whole sector of 512 bytes
	at    int64 // bytes from there
	bytes string
}

func tailMagics() []tailMagic {
	const intel, promise = "Intel Raid ISM Cfg Sig.", "Promise Technology, Inc."
	list := []tailMagic{
		{"isw_raid_member", 2 * 512, 0, intel},
		{"isw_raid_member", 2 * 4096, 0, intel}, // its place counts in the disk's own sectors
		{"ldm", 512, 0, "PRIVHEAD"},
		{"ldm", 4096, 0, "PRIVHEAD"},
		{"nvidia_raid_member", 2 * 512, 0, "NVIDIA  "},
		{"lsi_mega_raid_member", 512, 0, "$XIDE$"},
		{"adaptec_raid_member", 512, 0, "\x37\xfc\x4d\x1e"},
		{"hpt45x_raid_member", 11 * 512, 32, "\xf3\x16\x78\x5a"},
		{"hpt45x_raid_member", 11 * 512, 32, "\xfd\x16\x78\x5a"},
	}
	// DDF has a header in either byte order, an anchor in the last sector or 257 sectors before the end.
	for _, magic := range []string{"\xde\x11\xde\x11", "\x11\xde\x11\xde"} {
		for _, back := range []int64{512, 4096, 257 * 512, 257 * 4096} {
			list = append(list, tailMagic{"ddf_raid_member", back, 0, magic})
		}
	}
	for _, sector := range []int64{63, 255, 256, 16, 399, 591, 675, 735, 911, 974, 991, 951, 3087} {
		list = append(list, tailMagic{"promise_fasttrack_raid_member", sector * 512, 0, promise})
	}
	return list
}

// viaRAID finds VIA's metadata in the last sector: a number of two bytes, and a checksum over the first 50.
func viaRAID(r io.ReaderAt, size int64) bool {
	b := make([]byte, 51)
	if !readFull(r, b, size/512*512-512) || b[0] != 0x55 || b[1] != 0xaa || b[2] > 1 {
		return false
	}
	sum := byte(0)
	for _, c := range b[:50] {
		sum += c
	}
	return sum == b[50]
}
