#!/bin/bash
# Makes the root of a small Debian that boots by itself: template.sh SUITE MIRROR ROOT DEBCACHE.
# A machine installed from it gets its address by DHCP, shows a login prompt on its screen and on ttyS0, and lets
# root in with the password "griddle": it is for demonstrations and tests alone.
set -euo pipefail
suite=$1 mirror=$2 root=$3 debs=$4

packages=linux-image-cloud-amd64,initramfs-tools,zstd,kmod,btrfs-progs
packages+=,systemd-sysv,udev,dbus,libpam-systemd,iproute2,openssh-server,nftables,sudo

mkdir -p "$debs"
debootstrap --foreign --variant=minbase --cache-dir="$debs" --include="$packages" "$suite" "$root" "$mirror"

# Between the stages, so that dpkg neither syncs each file nor unpacks what nobody reads here.
mkdir -p "$root/etc/dpkg/dpkg.cfg.d"
cat >"$root/etc/dpkg/dpkg.cfg.d/01-small" <<'X'
force-unsafe-io
path-exclude=/usr/share/doc/*
path-include=/usr/share/doc/*/copyright
path-exclude=/usr/share/man/*
path-exclude=/usr/share/info/*
path-exclude=/usr/share/locale/*
X
chroot "$root" /debootstrap/debootstrap --second-stage

# The first stage unpacked its packages by itself.
find "$root/usr/share/doc" -type f ! -name copyright -delete
rm -rf "$root"/usr/share/{man,info,locale}/* "$root"/var/cache/apt/*.bin "$root"/var/cache/apt/archives/*.deb
rm -rf "$root"/var/lib/apt/lists/* "$root"/var/log/*.log "$root"/var/log/apt/* "$root"/var/cache/debconf/*-old
rm -f "$root"/var/lib/dpkg/*-old "$root"/etc/resolv.conf

cat >"$root/etc/systemd/network/80-lan.network" <<'X'
[Match]
Type=ether

[Network]
DHCP=ipv4
IPv6AcceptRA=no
LinkLocalAddressing=no
X
chroot "$root" systemctl enable systemd-networkd.service
# Jobs that would only make a test's machine slow and its console noisy.
chroot "$root" systemctl mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service \
	fstrim.timer

echo template >"$root/etc/hostname"
printf '127.0.0.1\tlocalhost\n127.0.1.1\ttemplate\n' >"$root/etc/hosts"
echo root:griddle | chroot "$root" chpasswd
