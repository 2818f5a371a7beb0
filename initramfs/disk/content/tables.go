package content

import (
	"encoding/binary"
	"io"
)

// readTables recognises the partition tables of other machines than PCs. It names them and reads no partition: such a
// disk is not written without its name, and what its partitions are does not change that.
//
// Sources: the kernel's block/partitions (mac.h, sun.h, sgi.h, atari.h), include/uapi/linux/affs_hardblocks.h and
// aix_partition.h; for BSD the disklabel.h of NetBSD, whose label is at one of three places.
func readTables(r io.ReaderAt, size int64) Content {
	b := make([]byte, 8192)
	n, _ := r.ReadAt(b, 0)
	if n < 1024 {
		return Content{}
	}
	for _, t := range []struct {
		name string
		is   func(b []byte, size int64) bool
	}{{"mac", isMac}, {"sun", isSun}, {"sgi", isSGI}, {"bsd", isBSD}, {"amiga", isAmiga}, {"aix", isAIX},
		{"atari", isAtari}} {
		if t.is(b[:n], size) {
			return Content{Table: t.name}
		}
	}
	return Content{}
}

// isMac: a driver descriptor "ER" with the size of a block in the first one, or a map entry "PM" in the
// second one of 512 bytes.
func isMac(b []byte, _ int64) bool {
	be := binary.BigEndian
	if block := be.Uint16(b[2:]); string(b[:2]) == "ER" && block >= 512 && block%512 == 0 {
		return true
	}
	// Bytes 2 and 3 of an entry are zero, bytes 4 to 7 its number of entries.
	return string(b[512:516]) == "PM\x00\x00" && be.Uint32(b[516:]) > 0 && be.Uint32(b[516:]) <= 256
}

// isSun: the magic number, and a checksum that makes the XOR of all 16-bit words zero.
func isSun(b []byte, _ int64) bool {
	sum := uint16(0)
	for i := 0; i < 512; i += 2 {
		sum ^= binary.BigEndian.Uint16(b[i:])
	}
	return string(b[508:510]) == "\xda\xbe" && sum == 0
}

func isSGI(b []byte, _ int64) bool { return string(b[:4]) == "\x0b\xe5\xa9\x41" }

func isBSD(b []byte, _ int64) bool {
	for _, at := range []int{512, 64, 128, 0} {
		const second = 132 // where the magic number is repeated
		if string(b[at:at+4]) == "\x57\x45\x56\x82" && string(b[at+second:at+second+4]) == "\x57\x45\x56\x82" {
			return true
		}
	}
	return false
}

// isAmiga: a rigid disk block, in one of the first 16 sectors.
func isAmiga(b []byte, _ int64) bool {
	for at := 0; at+512 <= len(b) && at < 16*512; at += 512 {
		if string(b[at:at+4]) == "RDSK" {
			return true
		}
	}
	return false
}

func isAIX(b []byte, _ int64) bool { return string(b[:4]) == "\xc9\xc2\xd4\xc1" }

// isAtari: there is no magic number. As the kernel does, take it for one where an entry that is in use has an ID of
// three letters or digits and is on the disk, and no entry is both in use and wrong.
func isAtari(b []byte, size int64) bool {
	be := binary.BigEndian
	sectors := size / 512
	used := 0
	for at := 0x1c6; at < 0x1c6+4*12; at += 12 {
		e := b[at : at+12]
		if e[0]&1 == 0 {
			continue
		}
		start, n := int64(be.Uint32(e[4:])), int64(be.Uint32(e[8:]))
		if !alphanumeric(e[1:4]) || start == 0 || n == 0 || start+n > sectors {
			return false
		}
		used++
	}
	return used > 0
}

func alphanumeric(b []byte) bool {
	for _, c := range b {
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}
