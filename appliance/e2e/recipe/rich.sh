#!/bin/bash
# Makes the small Debian richer: rich.sh ROOT DEBCACHE. It gets the other programs that configure a network, those that
# configure a machine, and cloud-init. All are off: a test turns one on.
set -euo pipefail
root=$1 debs=$2

packages="ifupdown isc-dhcp-client network-manager cloud-init locales puppet-agent ansible-core git"

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
chroot "$root" systemctl disable NetworkManager.service NetworkManager-dispatcher.service \
	NetworkManager-wait-online.service networking.service puppet.service
touch "$root/etc/cloud/cloud-init.disabled"

umount "$root/var/cache/apt/archives" "$root/proc"
rm -rf "$root"/usr/sbin/policy-rc.d "$root"/etc/resolv.conf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*.bin
rm -rf "$root"/var/log/*.log "$root"/var/log/apt/* "$root"/var/cache/debconf/*-old "$root"/var/lib/dpkg/*-old
