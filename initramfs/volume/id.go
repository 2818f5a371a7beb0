package volume

import (
	"encoding/binary"
	"fmt"
	"io"
	"strings"
)

// IDOf is whose member a device is: Array.ID of an array with metadata 1.2, Group.DeviceID of a physical volume of LVM,
// as it is written there; "" for anything else.
//
//	array  sector at 4096: magic a92b4efc (u32), major version 1 (u32), features, pad, UUID of the array (16 bytes)
//	       (kernel include/uapi/linux/raid/md_p.h, struct mdp_superblock_1)
//	LVM    sector at 512: "LABELONE", its number 1 (u64), checksum, offset of the header from here (u32), "LVM2 001";
//	       the header begins with the UUID, 32 letters and digits (LVM2 lib/format_text/layout.h)
func IDOf(r io.ReaderAt) string {
	b := make([]byte, 512)
	if n, _ := r.ReadAt(b, 4096); n == len(b) && binary.LittleEndian.Uint32(b) == 0xa92b4efc &&
		binary.LittleEndian.Uint32(b[4:]) == 1 {
		id := b[16:32]
		return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
	}
	if n, _ := r.ReadAt(b, 512); n != len(b) || string(b[:8]) != "LABELONE" || string(b[24:32]) != "LVM2 001" {
		return ""
	}
	at := binary.LittleEndian.Uint32(b[20:])
	if at < 32 || at > 512-32 {
		return ""
	}
	id := string(b[at : at+32])
	if strings.ContainsFunc(id, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '#' && r != '!'
	}) {
		return ""
	}
	var out []string
	for _, n := range []int{6, 4, 4, 4, 4, 4, 6} {
		out, id = append(out, id[:n]), id[n:]
	}
	return strings.Join(out, "-")
}
