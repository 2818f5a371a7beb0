#!/bin/bash
# An LXC template: lxc-create calls it to fill a new container's root from the tarball that is named after "--".
set -euo pipefail
while [[ $# -gt 0 ]]; do
	case $1 in
	--path=*) path=${1#*=} ;;
	--name=*) name=${1#*=} ;;
	--rootfs=*) rootfs=${1#*=} ;;
	--mapped-uid | --mapped-gid) shift ;;
	*) tarball=$1 ;;
	esac
	shift
done
mkdir -p "$rootfs"
tar --xattrs --xattrs-include='*' --acls --numeric-owner -C "$rootfs" -I zstd -xf "$tarball"
cat >>"$path/config" <<X
lxc.uts.name = $name
lxc.arch = amd64
X
