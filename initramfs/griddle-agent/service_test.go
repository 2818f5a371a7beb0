package main

import "testing"

func TestSubvolume(t *testing.T) {
	for name, c := range map[string]struct{ mounts, want string }{
		"a root of ours": {"22 1 0:20 /@roots/web-1@amd64 / rw,noatime shared:1 - btrfs /dev/vda3 rw\n" +
			"30 22 0:20 /@home /home rw - btrfs /dev/vda3 rw\n", "@roots/web-1@amd64"},
		"two on top of each other": {"1 1 0:2 / / rw - rootfs rootfs rw\n" +
			"22 1 0:20 /@roots/b / rw - btrfs /dev/vda3 rw\n", "@roots/b"},
		"another filesystem": {"22 1 8:1 / / rw - ext4 /dev/sda1 rw\n", ""},
		"nothing":            {"", ""},
	} {
		if got := subvolume(c.mounts); got != c.want {
			t.Errorf("%s: subvolume() = %q, want %q", name, got, c.want)
		}
	}
}
