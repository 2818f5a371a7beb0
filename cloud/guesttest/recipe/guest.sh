#!/bin/bash
# Makes the root of a small Debian with cloud-init as a tarball: guest.sh SUITE MIRROR TARBALL.
# No one can log in before user-data says who; cloud-init looks for NoCloud and a config drive alone, so that it does
# not wait for a metadata service that a test has not got.
set -euo pipefail
suite=$1 mirror=$2 tarball=$3

packages=linux-image-cloud-amd64,initramfs-tools,zstd,kmod,systemd-sysv,systemd-timesyncd,dbus,udev,libpam-systemd
packages+=,openssh-server,cloud-init,iproute2,netbase,ifupdown,isc-dhcp-client,sudo,locales,tzdata,python3,ca-certificates
packages+=,procps,e2fsprogs,cloud-guest-utils,btrfs-progs,nftables

# debootstrap cannot resolve the virtual packages that cloud-init's Python modules depend on.
mmdebstrap --mode=root --variant=minbase --include="$packages" --components=main \
	--dpkgopt=force-unsafe-io --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
	--dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
	--customize-hook='echo "datasource_list: [ NoCloud, ConfigDrive, None ]" >"$1/etc/cloud/cloud.cfg.d/90_dpkg.cfg"' \
	--customize-hook='rm -f "$1"/etc/ssh/ssh_host_*; : >"$1/etc/machine-id"' \
	--customize-hook='printf "LABEL=root / auto defaults 0 1\n" >"$1/etc/fstab"' \
	--customize-hook='chroot "$1" systemctl mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer' \
	"$suite" "$tarball" "$mirror"
