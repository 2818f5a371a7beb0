# Installs the packages of a recipe into the small Debian, and turns its services off: RECIPE ROOT DEBCACHE.
set -euo pipefail
root=$1 debs=$2

# In a mount namespace of its own, which takes the mounts along when this ends.
mkdir -p "$debs"
mount --bind "$debs" "$root/var/cache/apt/archives"
mount -t proc proc "$root/proc"
cp /etc/resolv.conf "$root/etc/resolv.conf"
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"

export DEBIAN_FRONTEND=noninteractive
apt="apt-get -q -y -o APT::Keep-Downloaded-Packages=true -o APT::Sandbox::User=root"
chroot "$root" $apt update
chroot "$root" $apt install --no-install-recommends $packages
[[ -z $off ]] || chroot "$root" systemctl disable $off
[[ ! -d $root/etc/cloud ]] || touch "$root/etc/cloud/cloud-init.disabled"

umount "$root/var/cache/apt/archives" "$root/proc"
rm -rf "$root"/usr/sbin/policy-rc.d "$root"/etc/resolv.conf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*.bin
rm -rf "$root"/var/log/*.log "$root"/var/log/apt/* "$root"/var/cache/debconf/*-old "$root"/var/lib/dpkg/*-old
