package tree

import "encoding/binary"

// moved is the number in New of a user or a group of Old.
func moved(numbers map[int]int, n int) int {
	if to, ok := numbers[n]; ok {
		return to
	}
	return n
}

// The tags of entries of an ACL that name a user or a group (include/uapi/linux/posix_acl.h).
const aclUser, aclGroup = 0x02, 0x08

// acl has the numbers of an ACL as New has them. It is (include/uapi/linux/posix_acl_xattr.h), in little endian,
//
//	+-----------+----------------------------------+----
//	| version 4 | tag 2 | permissions 2 | number 4 | ...
//	+-----------+----------------------------------+----
func (w *walk) acl(b []byte) []byte {
	for at := 4; at+8 <= len(b); at += 8 {
		number := b[at+4:]
		n := int(binary.LittleEndian.Uint32(number))
		switch binary.LittleEndian.Uint16(b[at:]) {
		case aclUser:
			n = moved(w.UID, n)
		case aclGroup:
			n = moved(w.GID, n)
		}
		binary.LittleEndian.PutUint32(number, uint32(n))
	}
	return b
}
