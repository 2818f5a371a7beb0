package content

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
)

// Signature is the format that was recognised on a disk or a partition, in the words of blkid.
type Signature struct {
	Type string // "btrfs", "ext4", "LVM2_member"…, "" if nothing is recognised; "ldm" for Windows' dynamic disks
	// Label is the label, or the name of the array, volume group or pool that it is a member of: hostile; "" if the
	// format has none.
	Label   string
	Variant string // "RAID1" of a member of an array, "1" or "2" of LUKS, "device 1 of 2" of a btrfs, else ""
}

// magic is a format that is known by some bytes at one place.
type magic struct {
	kind  string
	at    int64  // bytes from the start
	bytes string // what is there
	label int64  // where the label is, 0 for none
	size  int    // bytes of the label
}

// magics lists them with members of arrays and encrypted volumes first: what such a volume holds may show through.
func magics() []magic {
	const bcache = "\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81"
	// GUID 4967d63b-2e29-4ad8-8399-f6a339e3d001: of a stick, whose boot sector is otherwise that of FAT32
	const bitLockerToGo = "\x3b\xd6\x67\x49\x29\x2e\xd8\x4a\x83\x99\xf6\xa3\x39\xe3\xd0\x01"
	return []magic{
		{"crypto_LUKS", 0, "LUKS\xba\xbe", 24, 48}, // LUKS2; the place is zeros in LUKS1's cipher name or text
		{"crypto_LUKS", 0x4000, "SKUL\xba\xbe", 0, 0},
		{"linux_raid_member", 0, "\xfc\x4e\x2b\xa9\x01\x00\x00\x00", 32, 32},      // 1.1
		{"linux_raid_member", 0x1000, "\xfc\x4e\x2b\xa9\x01\x00\x00\x00", 32, 32}, // 1.2
		{"bcache", 0x1018, bcache, 0, 0},
		{"bcachefs", 0x1018, "\xc6\x85\x73\xf6\x66\xce\x90\xa9\xd9\x6a\x60\xcf\x80\x3d\xf7\xef", 0, 0},
		{"ceph_bluestore", 0, "bluestore block device", 0, 0},
		{"vdo", 0, "dmvdo001", 0, 0},
		{"stratis", 0x204, "!Stra0tis\x86\xff\x02^\x41rh", 0, 0},
		{"VMFS_volume_member", 0x100000, "\x0d\xd0\x01\xc0", 0, 0},
		{"BitLocker", 3, "-FVE-FS-", 0, 0}, // libblkid wants more than this
		{"BitLocker", 0x1a8, bitLockerToGo, 0, 0},
		{"ntfs", 3, "NTFS    ", 0, 0},
		{"exfat", 3, "EXFAT   ", 0, 0},
		{"ReFS", 3, "ReFS\x00\x00\x00\x00", 0, 0},
		{"xfs", 0, "XFSB", 108, 12},
		{"squashfs", 0, "hsqs", 0, 0},
		{"apfs", 32, "NXSB", 0, 0},
		{"btrfs", 0x10040, "_BHRfS_M", 0x1012b, 256},
		{"f2fs", 0x400, "\x10\x20\xf5\xf2", 0, 0},
		{"erofs", 0x400, "\xe2\xe1\xf5\xe0", 0, 0},
		{"hfsplus", 0x400, "H+\x00\x04", 0, 0},
		{"hfsplus", 0x400, "HX\x00\x05", 0, 0},
		{"nilfs2", 0x406, "\x34\x34", 0, 0},
		{"jfs", 0x8000, "JFS1", 0, 0},
		{"reiserfs", 0x10034, "ReIsEr", 0, 0},
		{"gfs2", 0x10000, "\x01\x16\x19\x70", 0, 0},
		{"iso9660", 0x8001, "CD001", 0x8028, 32},
		{"udf", 0x8001, "BEA01", 0, 0},
		{"udf", 0x8001, "NSR0", 0, 0},
		{"ocfs2", 0x400, "OCFSV2", 0x400 + 0x110, 64}, // in block 2, whatever a block's size
		{"ocfs2", 0x800, "OCFSV2", 0x800 + 0x110, 64},
		{"ocfs2", 0x1000, "OCFSV2", 0x1000 + 0x110, 64},
		{"ocfs2", 0x2000, "OCFSV2", 0x2000 + 0x110, 64},
		{"ocfs", 8, "OracleCFS", 0, 0},
		{"oracleasm", 32, "ORCLDISK", 40, 24},
		{"drbdmanage_control_volume", 0, "$DRBDmgr=q", 0, 0},
		{"vxfs", 0x400, "\xf5\xfc\x01\xa5", 0, 0},
		{"vxfs", 0x2000, "\xa5\x01\xfc\xf5", 0, 0},
		{"bfs", 0, "\xce\xfa\xad\x1b", 0, 0},
		{"cramfs", 0, "\x45\x3d\xcd\x28", 48, 16},
		{"cramfs", 0x200, "\x45\x3d\xcd\x28", 0x200 + 48, 16},
		{"cramfs", 0, "\x28\xcd\x3d\x45", 48, 16},
		{"romfs", 0, "-rom1fs-", 16, 16},
		{"befs", 32, "BFS1", 0, 32},
		{"befs", 0x220, "BFS1", 0x200, 32},
		{"netware", 0x1000, "SPB5", 0, 0},
		{"ubi", 0, "UBI#", 0, 0},
		{"hpt37x_raid_member", 0x1220, "\xf0\x16\x78\x5a", 0, 0},
		{"hpt37x_raid_member", 0x1220, "\xfd\x16\x78\x5a", 0, 0},
		{"DM_snapshot_cow", 0, "SnAp", 0, 0},
		{"DM_verity_hash", 0, "verity\x00\x00", 0, 0},
		{"DM_integrity", 0, "integrt\x00", 0, 0},
		{"unfinished erase", 0, "GRIDDLE ERASE 1\x00", 0, 0}, // the mark of package erase
		{"tar archive", 257, "ustar", 0, 100},                // its first name
		// the header of a dynamic disk, in sector 6, with the name of its group (kernel block/partitions/ldm.h)
		{"ldm", 6 * 512, "PRIVHEAD", 6*512 + 0xf0, 31},
		{"ldm", 6 * 4096, "PRIVHEAD", 6*4096 + 0xf0, 31},
	}
}

// Identify recognises the format of a disk or partition of size bytes. It reads at fixed places, less than 2 MiB in
// all.
func Identify(r io.ReaderAt, size int64) Signature {
	head := make([]byte, min(size, 0x11000))
	n, _ := r.ReadAt(head, 0)
	head = head[:max(n, 0)]
	for _, m := range magics() {
		b := head
		at := m.at
		if at+int64(len(m.bytes)) > int64(len(head)) {
			b = make([]byte, len(m.bytes))
			if !readFull(r, b, at) {
				continue
			}
			at = 0
		}
		if string(b[at:at+int64(len(m.bytes))]) != m.bytes {
			continue
		}
		s := Signature{Type: m.kind}
		label := m.label
		if m.kind == "linux_raid_member" {
			label += m.at
		}
		if m.size > 0 && label+int64(m.size) <= int64(len(head)) {
			s.Label = Text(head[label : label+int64(m.size)])
		}
		s.Variant = variant(m, head)
		if m.kind == "crypto_LUKS" && s.Variant != "2" {
			s.Label = ""
		}
		return s
	}
	if s := lvm(r, head); s.Type != "" {
		return s
	}
	for _, f := range []func([]byte) Signature{swap, ext, fat, minix, ufs, hfs} {
		if s := f(head); s.Type != "" {
			return s
		}
	}
	if s := tail(r, size); s.Type != "" {
		return s
	}
	return zfs(r, size)
}

// Text is a fixed field, which ends at the first zero.
func Text(b []byte) string {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return Clean(string(b))
}

// variant is the level of an array and the version of LUKS, from the beginning of a disk on which m was found.
func variant(m magic, head []byte) string {
	if m.at+80 > int64(len(head)) {
		return ""
	}
	switch b := head[m.at:]; m.kind {
	case "linux_raid_member":
		return mdVariant(binary.LittleEndian.Uint32(b[72:]))
	case "btrfs": // from the magic on: how many devices it has, and which one this is (superblock)
		le := binary.LittleEndian
		if n := le.Uint64(b[0x88-0x40:]); n > 1 && n <= 1024 && len(b) >= 0xd1-0x40 {
			return fmt.Sprintf("device %d of %d", le.Uint64(b[0xc9-0x40:]), n)
		}
	case "crypto_LUKS":
		if b[6] == 0 && (b[7] == 1 || b[7] == 2) {
			return string('0' + rune(b[7]))
		}
	}
	return ""
}

// lvm finds a physical volume's label, which is in one of the first four sectors (LVM2 lib/label/label.h).
func lvm(r io.ReaderAt, b []byte) Signature {
	for at := 0; at+32 <= len(b) && at < 4*512; at += 512 {
		if string(b[at:at+8]) == "LABELONE" && string(b[at+24:at+32]) == "LVM2 001" {
			return Signature{Type: "LVM2_member", Label: lvmGroup(r, int64(at))}
		}
	}
	// LVM1 has its version, 1 or 2, after "HM" (its lib/format1/disk-rep.h).
	if len(b) >= 4 && (string(b[:4]) == "HM\x01\x00" || string(b[:4]) == "HM\x02\x00") {
		return Signature{Type: "LVM1_member"}
	}
	return Signature{}
}

// swap finds a swap area, or a hibernated system in one, by the end of its first page, whatever a page's size.
func swap(b []byte) Signature {
	for _, page := range []int{4096, 8192, 16384, 32768, 65536} {
		if page > len(b) {
			break
		}
		switch string(b[page-10 : page]) {
		case "SWAPSPACE2", "SWAP-SPACE":
			return Signature{Type: "swap", Label: Text(b[1024+28 : 1024+44])}
		case "S1SUSPEND\x00", "S2SUSPEND\x00", "ULSUSPEND\x00", "LINHIB0001":
			return Signature{Type: "swsuspend"}
		}
	}
	return Signature{}
}

// ext tells ext2, ext3 and ext4 apart by their features (kernel fs/ext4/ext4.h).
func ext(b []byte) Signature {
	if len(b) < 0x500 {
		return Signature{}
	}
	le := binary.LittleEndian
	s := b[0x400:]
	if le.Uint16(s[0x38:]) != 0xef53 {
		return Signature{}
	}
	compat, incompat, ro := le.Uint32(s[0x5c:]), le.Uint32(s[0x60:]), le.Uint32(s[0x64:])
	kind := "ext2"
	switch {
	case incompat&0x8 != 0:
		return Signature{Type: "jbd"}
	case incompat&^uint32(0x2|0x4|0x10) != 0 || ro&^uint32(0x1|0x2|0x4) != 0:
		kind = "ext4"
	case compat&0x4 != 0:
		kind = "ext3"
	}
	return Signature{Type: kind, Label: Text(s[0x78:0x88])}
}

// fatBootSector says whether b is the boot sector of a FAT filesystem (Microsoft's fatgen103, section 3).
func fatBootSector(b []byte) bool {
	le := binary.LittleEndian
	bps, spc, reserved, fats := le.Uint16(b[11:]), b[13], le.Uint16(b[14:]), b[16]
	return b[510] == 0x55 && b[511] == 0xaa && (b[0] == 0xeb || b[0] == 0xe9) &&
		bps >= 512 && bps <= 4096 && bps&(bps-1) == 0 && spc != 0 && spc&(spc-1) == 0 &&
		reserved != 0 && (fats == 1 || fats == 2) && (b[21] == 0xf0 || b[21] >= 0xf8)
}

func fat(b []byte) Signature {
	if len(b) < 512 || !fatBootSector(b) {
		return Signature{}
	}
	label := b[0x2b:0x36]
	if string(b[0x52:0x57]) == "FAT32" {
		label = b[0x47:0x52]
	}
	l := Text(label)
	if l == "NO NAME" {
		l = ""
	}
	return Signature{Type: "vfat", Label: l}
}
