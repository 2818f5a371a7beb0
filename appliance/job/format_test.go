package job

import "testing"

func TestFormat(t *testing.T) {
	for want, c := range map[string][3]string{
		`member of the md array "srv:0" (RAID1)`:                       {"linux_raid_member", "srv:0", "RAID1"},
		`member of an md array`:                                        {"linux_raid_member", "", ""},
		`LVM physical volume of the group "vg0"`:                       {"LVM2_member", "vg0", ""},
		`LVM physical volume`:                                          {"LVM1_member", "", ""},
		`ZFS pool "tank"`:                                              {"zfs_member", "tank", ""},
		`member of an Intel RST array (fake RAID)`:                     {"isw_raid_member", "", ""},
		`member of a DDF array (RAID of a controller or of firmware)`:  {"ddf_raid_member", "", ""},
		`member of an array of promise_fasttrack firmware (fake RAID)`: {"promise_fasttrack_raid_member", "", ""},
		`encrypted by BitLocker`:                                       {"BitLocker", "", ""},
		`encrypted by LUKS2 "vault"`:                                   {"crypto_LUKS", "vault", "2"},
		`encrypted by LUKS`:                                            {"crypto_LUKS", "", ""},
		`Windows dynamic disk (LDM) of the group "PC-Dg0"`:             {"ldm", "PC-Dg0", ""},
		`VMware VMFS volume`:                                           {"VMFS_volume_member", "", ""},
		`Ceph OSD`:                                                     {"ceph_bluestore", "", ""},
		`ext4 "thesis"`:                                                {"ext4", "thesis", ""},
		`[2Jx "y"`:                                                     {"\x1b[2Jx", "\x07y", ""},
		`member of the md array "a\" (RAID0)" (RAID1)`:                 {"linux_raid_member", `a" (RAID0)`, "RAID1"},
	} {
		if got := format(c[0], c[1], c[2]); got != want {
			t.Errorf("format(%q) = %s, want %s", c, got, want)
		}
	}
}
