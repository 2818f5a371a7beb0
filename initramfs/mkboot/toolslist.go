package main

// toolPackage is a package of Debian, and what of it is in the tools archive.
type toolPackage struct {
	name string
	// take has names of programs, which may be in any of the folders for programs and may have wildcards (path.Match);
	// and paths below the package's root: with a slash at the end everything below it.
	take []string
}

// toolPackages are what people expect at a machine that does not start, and what layouts need that few have. Programs
// that the boot image has already are left out: it was tested with its own.
func toolPackages() []toolPackage {
	return []toolPackage{
		// What u-root's commands of the same names do not know, such as "tail -5".
		{"coreutils", []string{"cat", "chgrp", "chmod", "chown", "comm", "cp", "cut", "date", "dd", "df", "du", "env",
			"fold", "head", "id", "install", "join", "ln", "ls", "md5sum", "mkdir", "mktemp", "mv", "nl", "nohup",
			"nproc", "numfmt", "od", "paste", "readlink", "realpath", "rm", "rmdir", "seq", "sha256sum", "shred",
			"sleep", "sort", "split", "stat", "stty", "sync", "tac", "tail", "tee", "timeout", "touch", "tr",
			"truncate", "uname", "uniq", "wc"}},
		{"grep", []string{"grep"}}, {"sed", []string{"sed"}}, {"mawk", []string{"mawk"}},
		{"findutils", []string{"find", "xargs"}}, {"diffutils", []string{"diff", "cmp"}},
		{"hostname", []string{"hostname"}},
		{"tar", []string{"tar"}}, {"gzip", []string{"gzip", "gunzip", "zcat"}},
		{"bzip2", []string{"bzip2", "bunzip2", "bzcat"}}, {"xz-utils", []string{"xz", "unxz", "xzcat"}},
		{"procps", []string{"ps", "sysctl", "free", "pgrep", "pkill", "top", "uptime", "vmstat", "watch"}},
		{"psmisc", []string{"fuser", "killall", "pstree"}},
		{"util-linux", []string{"dmesg", "findmnt", "lsblk", "more", "mountpoint", "blkdiscard", "blockdev", "fsck",
			"fsfreeze", "fstrim", "mkswap", "swaplabel", "wipefs", "fallocate", "flock", "getopt", "ionice", "lscpu",
			"nsenter", "partx", "setsid", "unshare"}},
		{"bsdextrautils", []string{"column", "hexdump", "hd"}},
		{"mount", []string{"mount", "umount", "losetup", "swapon", "swapoff"}},
		{"less", []string{"less"}}, {"vim-tiny", []string{"vim.tiny", "etc/vim/"}},
		{"ncurses-bin", []string{"clear", "reset", "tput", "tset"}},
		{"ncurses-base", []string{"lib/terminfo/*/*", "usr/share/terminfo/*/*", "usr/lib/terminfo/*/*"}},
		{"libc-bin", []string{"getent", "ldd", "usr/lib/locale/C.utf8/"}},
		// Disks and their tables.
		{"fdisk", []string{"fdisk", "sfdisk", "cfdisk"}}, {"gdisk", []string{"gdisk", "sgdisk"}},
		{"parted", []string{"parted", "partprobe"}},
		{"smartmontools", []string{"smartctl", "usr/share/smartmontools/drivedb.h", "var/lib/smartmontools/drivedb/"}},
		{"hdparm", []string{"hdparm"}}, {"nvme-cli", []string{"nvme"}}, {"gddrescue", []string{"ddrescue"}},
		{"testdisk", []string{"testdisk"}}, {"efibootmgr", []string{"efibootmgr"}},
		// What is on partitions: arrays, volumes, encryption.
		{"mdadm", []string{"mdadm"}}, {"lvm2", []string{"*"}}, {"dmsetup", []string{"dmsetup"}},
		{"cryptsetup-bin", []string{"cryptsetup"}},
		// Filesystems; the boot image has btrfs, e2fsck and resize2fs already.
		{"e2fsprogs", []string{"badblocks", "debugfs", "dumpe2fs", "tune2fs", "e2label", "chattr", "lsattr", "filefrag",
			"fsck.ext*", "mkfs.ext*"}},
		{"xfsprogs", []string{"xfs_repair", "xfs_db", "xfs_admin", "xfs_growfs", "xfs_info", "xfs_spaceman",
			"fsck.xfs"}},
		{"dosfstools", []string{"fsck.fat", "fsck.vfat", "fatlabel"}},
		{"exfatprogs", []string{"fsck.exfat", "mkfs.exfat"}},
		{"ntfs-3g", []string{"ntfs-3g", "ntfsfix", "ntfsinfo", "ntfsls", "ntfscat", "ntfscluster", "mkntfs",
			"mkfs.ntfs", "ntfsclone", "ntfscp", "ntfslabel", "ntfsundelete", "mount.ntfs", "mount.ntfs-3g"}},
		// The network.
		{"iproute2", []string{"ip", "ss"}}, {"iputils-ping", []string{"ping"}}, {"ethtool", []string{"ethtool"}},
		{"tcpdump", []string{"tcpdump"}}, {"netcat-openbsd", []string{"nc.openbsd"}},
		{"openssh-client", []string{"ssh", "scp", "ssh-keygen", "etc/ssh/ssh_config"}},
		{"curl", []string{"curl"}}, {"rsync", []string{"rsync"}},
		{"ca-certificates", []string{"usr/share/ca-certificates/mozilla/"}}, // become one file, see bundle
		// The machine.
		{"pciutils", []string{"lspci", "setpci"}}, {"pci.ids", []string{"usr/share/misc/pci.ids"}},
		{"usbutils", []string{"lsusb"}}, {"dmidecode", []string{"dmidecode"}}, {"memtester", []string{"memtester"}},
		// Only its library.
		{"zlib1g", nil},
	}
}

// toolLinks are names that Debian's alternatives system gives to programs when they are installed.
func toolLinks() map[string]string {
	return map[string]string{"vi": "vim.tiny", "vim": "vim.tiny", "view": "vim.tiny", "editor": "vim.tiny",
		"pager": "less", "awk": "mawk", "nc": "nc.openbsd"}
}

// opened are libraries that programs open by name when they need them, so that no program links to them: of threads
// that end.
func opened() []string { return []string{"libgcc_s.so.1"} }
