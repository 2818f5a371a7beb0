#!/bin/bash
# Adds to the small Debian what starts arrays, volume groups and encrypted volumes: volumes.sh ROOT DEBCACHE.
# Its initrd knows arrays and volume groups too.
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
# The libraries of tpm2-tss are for what the TPM opens; systemd has the rest of encryption (docs/TEMPLATE.md).
chroot "$root" $apt install --no-install-recommends mdadm lvm2 \
	libtss2-esys-3.0.2-0 libtss2-rc0 libtss2-tcti-device0

umount "$root/var/cache/apt/archives" "$root/proc"
rm -rf "$root"/usr/sbin/policy-rc.d "$root"/etc/resolv.conf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*.bin
rm -rf "$root"/var/log/*.log "$root"/var/log/apt/* "$root"/var/cache/debconf/*-old "$root"/var/lib/dpkg/*-old
