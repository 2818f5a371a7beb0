#!/bin/bash
# Adds cloud-init to the root of a small Debian: cloudroot.sh TEMPLATE.tar.zst OUT.tar.
set -euo pipefail
template=$1 out=$2
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' 'Codename: bookworm' | sed -n 1p)
root=$(mktemp -d "${TMPDIR:-/tmp}/griddle-cloudroot.XXXXXX")
trap 'rm -rf --one-file-system "$root"' EXIT
zstd -dc "$template" | tar -x --numeric-owner --xattrs --xattrs-include='*' -C "$root" \
	--exclude=./boot/* --exclude=./usr/lib/modules/* --exclude=./usr/share/doc/*
echo "deb $mirror bookworm main" >"$root/etc/apt/sources.list"
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod +x "$root/usr/sbin/policy-rc.d"
cp /etc/resolv.conf "$root/etc/resolv.conf"
for f in /etc/apt/apt.conf.d/*proxy*; do [[ ! -e $f ]] || cp "$f" "$root/etc/apt/apt.conf.d/"; done
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
chroot "$root" apt-get update -q
chroot "$root" apt-get install -y -q --no-install-recommends cloud-init sudo
chroot "$root" apt-get clean
rm -rf "$root"/var/lib/apt/lists/* "$root/usr/sbin/policy-rc.d" "$root/etc/resolv.conf" "$root"/etc/apt/apt.conf.d/*proxy*
tar -c --numeric-owner --xattrs --xattrs-include='*' --sort=name -C "$root" -f "$out" .
