#!/bin/bash
# Makes the Debian templates that sizes of deltas are measured on: templates.sh MIRROR OUT.
# OUT is a zstd file of four btrfs send streams, one behind the other, each later one a delta from the one before it as
# a container's snapshots would be:
#   T1   Debian, minbase, of the last point release
#   T1U  T1 with the packages upgraded that the security and update suites have
#   T2   T1U with vim and nginx
#   T3   T2 with build-essential, python3, git and openssh-server
set -euo pipefail
mirror=$1 out=$2 suite=bookworm
work=$(mktemp -d)
fs=$work/fs root=$work/fs/T
mkdir "$fs"
truncate -s 6G "$work/disk"
mkfs.btrfs -q "$work/disk"
mount -o loop,noatime "$work/disk" "$fs"
trap 'cd /; for m in proc dev; do mountpoint -q "$root/$m" && umount "$root/$m"; done; umount "$fs"; rm -rf "$work"' EXIT

btrfs -q subvolume create "$root"
debootstrap --variant=minbase "$suite" "$root" "$mirror"

inside() {
	mount --bind /dev "$root/dev"
	mount -t proc proc "$root/proc"
	cp /etc/resolv.conf "$root/etc/resolv.conf"
	DEBIAN_FRONTEND=noninteractive chroot "$root" apt-get -q -y -o Dpkg::Options::=--force-unsafe-io -o APT::Install-Recommends=false "$@"
	umount "$root/proc" "$root/dev"
}
keep() {
	chroot "$root" apt-get clean
	rm -rf "$root"/var/lib/apt/lists/* "$root"/var/log/{apt,*.log} "$root"/var/cache/apt/*.bin "$root"/etc/resolv.conf
	btrfs -q subvolume snapshot -r "$root" "$fs/$1"
}
keep T1
echo "deb $mirror $suite main
deb $mirror $suite-updates main
deb ${mirror%/}-security $suite-security main" >"$root/etc/apt/sources.list"
inside update
inside upgrade
keep T1U
inside update
inside install vim nginx
keep T2
inside update
inside install build-essential python3 git openssh-server
keep T3
cd "$fs"
{ btrfs -q send T1; btrfs -q send -p T1 T1U; btrfs -q send -p T1U T2; btrfs -q send -p T2 T3; } | zstd -q -3 -T0 -o "$out.part" -f
mv "$out.part" "$out"
