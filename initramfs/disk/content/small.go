package content

import "encoding/binary"

// The filesystems here have magic numbers that are short, or in one of several places.

// minix finds a Minix filesystem of version 1, 2 or 3, in either byte order (kernel include/uapi/linux/minix_fs.h). Two
// bytes are little to go by, so that the size of its inode table must be there too.
func minix(b []byte) Signature {
	if len(b) < 0x400+0x20 {
		return Signature{}
	}
	s := b[0x400:]
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		switch m := order.Uint16(s[0x10:]); m {
		case 0x137f, 0x138f, 0x2468, 0x2478:
			if order.Uint16(s) > 0 && order.Uint16(s[4:]) > 0 && order.Uint16(s[6:]) > 0 {
				return Signature{Type: "minix"}
			}
		}
		if order.Uint16(s[0x18:]) == 0x4d5a && order.Uint32(s) > 0 {
			return Signature{Type: "minix"}
		}
	}
	return Signature{}
}

// ufs finds UFS1 and UFS2 by the number at the end of the superblock, which is at one of four places (FreeBSD
// sys/ufs/ffs/fs.h: SBLOCK_FLOPPY, SBLOCK_UFS1, SBLOCK_UFS2; the fourth, 256 KiB, is left to blkid).
func ufs(b []byte) Signature {
	const magic = 1372
	for _, at := range []int{0, 8 << 10, 64 << 10} {
		if at+magic+4 > len(b) {
			break
		}
		for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
			switch order.Uint32(b[at+magic:]) {
			case 0x00011954, 0x19540119, 0x00095014, 0x00612195, 0x05231994, 0x0f242697:
				return Signature{Type: "ufs", Label: Text(b[at+680 : at+712])}
			}
		}
	}
	return Signature{}
}

// hfs finds Apple's HFS (Inside Macintosh: Files, 2-60). Two bytes are little to go by, so that the size of an
// allocation block must be a multiple of 512, and the name of the volume one of 1 to 27 bytes.
func hfs(b []byte) Signature {
	if len(b) < 0x400+64 {
		return Signature{}
	}
	s, be := b[0x400:], binary.BigEndian
	block, name := be.Uint32(s[20:]), int(s[36])
	if string(s[:2]) != "BD" || block == 0 || block%512 != 0 || name < 1 || name > 27 {
		return Signature{}
	}
	return Signature{Type: "hfs", Label: Text(s[37 : 37+name])}
}
