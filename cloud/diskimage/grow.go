package diskimage

import (
	"fmt"
	"strings"

	"griddle/cloud/diskimage/tree"
)

// rootType is the partition type of a root filesystem for amd64, by which systemd-repart knows it (Discoverable
// Partitions Specification).
const rootType = "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709"

// bootFiles are laid over an image so that it boots from this disk: fstab and what grows the root.
func bootFiles(f tree.Summary, s spec) []File {
	files := []File{
		{Path: "/etc/fstab", Mode: 0o644, Content: fstab(f.Fstab, s)},
		{Path: "/boot/efi", Mode: 0o700, Dir: true},
	}
	if growsBySystemd(f) {
		files = append(files,
			File{Path: "/etc/repart.d/50-griddle-root.conf", Mode: 0o644,
				Content: []byte("# The root partition takes what is free behind it.\n[Partition]\nType=root-x86-64\n")},
			File{Path: "/etc/systemd/system/griddle-grow.service", Mode: 0o644,
				Content: []byte(fmt.Sprintf(growUnit, f.Growfs, f.Growfs))},
			File{Path: "/etc/systemd/system/sysinit.target.wants/griddle-grow.service",
				Link: "../griddle-grow.service"},
		)
	}
	return files
}

func growsBySystemd(f tree.Summary) bool { return f.Growfs != "" && f.Repart }

// growUnit runs at each boot: a disk that was made larger later is taken up as well, and a filesystem that fills its
// partition is left alone. systemd-repart.service has the condition that /etc/repart.d is there.
const growUnit = `[Unit]
Description=Grow the root filesystem to its partition
DefaultDependencies=no
Wants=systemd-repart.service
After=systemd-repart.service systemd-remount-fs.service
Before=sysinit.target shutdown.target
Conflicts=shutdown.target
ConditionPathExists=%s
ConditionVirtualization=!container

[Service]
Type=oneshot
ExecStart=%s /
`

// fstab names the partitions of the disk. The boot does not wait for the second one (nofail), so it may come as late as
// it does in a slow guest. Of the image's own lines those stay that name no block device and none of our folders.
func fstab(old []byte, s spec) []byte {
	pass := "1"
	if s.Filesystem == Btrfs {
		pass = "0"
	}
	lines := []string{
		"# Written by Griddle when this disk was made.",
		fmt.Sprintf("UUID=%s / %s defaults 0 %s", s.id("root"), s.Filesystem, pass),
		fmt.Sprintf("UUID=%s /boot/efi vfat umask=0077,nofail 0 2", s.volume()[:4]+"-"+s.volume()[4:]),
	}
	for line := range strings.Lines(string(old)) {
		f := strings.Fields(line)
		if len(f) < 3 || strings.HasPrefix(f[0], "#") || strings.HasPrefix(f[0], "/dev/") ||
			strings.Contains(f[0], "=") || f[2] == "swap" ||
			f[1] == "/" || f[1] == "/boot/efi" {
			continue
		}
		lines = append(lines, strings.Join(f, " "))
	}
	return []byte(strings.Join(lines, "\n") + "\n")
}
