package job

import (
	"fmt"
	"strings"
)

// format names what is on a disk or a partition in words that people know: what it is, and the name that they gave it.
// kind is a type of blkid's, or one of package disk/content.
func format(kind, label, variant string) string {
	variant = Printable(variant)
	label = Printable(label)
	named := func(what, of string) string {
		if label != "" {
			what += of + fmt.Sprintf(" %q", label)
		}
		return what
	}
	switch kind {
	case "linux_raid_member":
		out := "member of an md array"
		if label != "" {
			out = fmt.Sprintf("member of the md array %q", label)
		}
		if variant != "" {
			out += " (" + variant + ")"
		}
		return out
	case "LVM2_member", "LVM1_member":
		return named("LVM physical volume", " of the group")
	case "zfs_member":
		return named("ZFS pool", "")
	case "bcache":
		return named("bcache device", "")
	case "ceph_bluestore":
		return "Ceph OSD"
	case "VMFS_volume_member", "VMFS":
		return named("VMware VMFS volume", "")
	case "ldm":
		return named("Windows dynamic disk (LDM)", " of the group")
	case "BitLocker":
		return named("encrypted by BitLocker", "")
	case "crypto_LUKS":
		if variant == "" {
			return named("encrypted by LUKS", "")
		}
		return named("encrypted by LUKS"+variant, "")
	case "btrfs":
		if variant != "" {
			return labelled(kind, label) + ", " + variant
		}
	case "isw_raid_member":
		return "member of an Intel RST array (fake RAID)"
	case "ddf_raid_member":
		return "member of a DDF array (RAID of a controller or of firmware)"
	}
	if maker, ok := strings.CutSuffix(kind, "_raid_member"); ok {
		return fmt.Sprintf("member of an array of %s firmware (fake RAID)", Printable(maker))
	}
	return labelled(kind, label)
}
