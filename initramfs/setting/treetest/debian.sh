#!/bin/bash
# Makes the tree of a Debian with all that settings change: debian.sh SUITE MIRROR DIR.
# It has three programs for the network; NetworkManager is the one that starts. Debian 12 has chrony and dhclient, a
# later one what is new there: systemd-timesyncd and dhcpcd.
set -euo pipefail
suite=$1 mirror=$2 dir=$3

packages=systemd-sysv,systemd-resolved,udev,dbus,libpam-systemd,passwd,openssh-server,sudo,nftables,iproute2
packages+=,ifupdown,network-manager,locales,tzdata,ca-certificates,console-setup,kbd,git
case $suite in
bookworm) packages+=,chrony,isc-dhcp-client ;;
*) packages+=,systemd-timesyncd,dhcpcd-base ;;
esac

mmdebstrap --mode=root --variant=minbase --include="$packages" --components=main \
	--dpkgopt=force-unsafe-io --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
	--dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
	--customize-hook='rm -f "$1"/etc/ssh/ssh_host_* "$1"/var/cache/apt/*.bin; rm -rf "$1"/var/lib/apt/lists/*' \
	"$suite" "$dir" "$mirror"
