package tarball

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// The extended attributes that hold POSIX ACLs, and the PAX records in which star, GNU tar and bsdtar keep them as
// text. GNU tar with --acls sets ACLs from these records alone, and takes away what an attribute has set; bsdtar passes
// over attributes "system.*".
func paxACLs() map[string]string {
	return map[string]string{
		"system.posix_acl_access":  "SCHILY.acl.access",
		"system.posix_acl_default": "SCHILY.acl.default",
	}
}

// The tags of an ACL's entries (Linux include/uapi/linux/posix_acl.h).
const (
	aclUserObj  = 0x01
	aclUser     = 0x02
	aclGroupObj = 0x04
	aclGroup    = 0x08
	aclMask     = 0x10
	aclOther    = 0x20
)

// aclText writes the value of such an attribute as acl_from_text(3) reads it, an entry to a line, with numbers for
// names. The value has a version of 4 bytes, 2, and then entries of 8: tag 2, permissions 2, id 4, little endian
// (include/uapi/linux/posix_acl_xattr.h). It is false for a value of another form, which no filesystem would set.
func aclText(value []byte) (string, bool) {
	if len(value) < 4 || len(value)%8 != 4 || binary.LittleEndian.Uint32(value) != 2 {
		return "", false
	}
	var lines []string
	for e := value[4:]; len(e) > 0; e = e[8:] {
		perm, id := binary.LittleEndian.Uint16(e[2:]), binary.LittleEndian.Uint32(e[4:])
		if perm > 7 {
			return "", false
		}
		var who string
		switch binary.LittleEndian.Uint16(e) {
		case aclUserObj:
			who = "user:"
		case aclUser:
			who = fmt.Sprintf("user:%d", id)
		case aclGroupObj:
			who = "group:"
		case aclGroup:
			who = fmt.Sprintf("group:%d", id)
		case aclMask:
			who = "mask:"
		case aclOther:
			who = "other:"
		default:
			return "", false
		}
		may := []byte("---")
		for i, bit := range []uint16{4, 2, 1} {
			if perm&bit != 0 {
				may[i] = "rwx"[i]
			}
		}
		lines = append(lines, who+":"+string(may))
	}
	return strings.Join(lines, "\n"), len(lines) > 0
}
