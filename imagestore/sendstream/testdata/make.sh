#!/bin/sh
# Makes v1-full.stream, v1-delta.stream and v2-full.stream on a btrfs on a loop device. Run as root in this folder, then
# `go test -update` in the one above. The streams differ from run to run in their UUIDs and times.
set -eu
dir=$(mktemp -d)
truncate -s 256M "$dir/image"
mkfs.btrfs -q "$dir/image"
mkdir "$dir/mnt"
mount -o loop,compress-force=zstd "$dir/image" "$dir/mnt"
trap 'umount "$dir/mnt"; rm -r "$dir"' EXIT
cd "$dir/mnt"
btrfs -q subvolume create work
mkdir work/dir
seq 9000 | head -c 5000 >work/dir/file
printf 'a\n' >work/small
ln work/small work/dir/link
ln -s ../small work/dir/symlink
mkfifo work/fifo
mknod work/null c 1 3
python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("work/socket")'
setfattr -n user.note -v value work/small
setfacl -m u:1000:r work/dir/file
setcap cap_net_raw=ep work/dir/file
truncate -s 20000 work/hole
btrfs -q subvolume snapshot -r work one
mv work/dir work/moved
rm work/fifo
truncate -s 3 work/moved/file
cp --reflink=always one/dir/file work/clone
setfattr -x user.note work/small
chown 5:6 work/null
btrfs -q subvolume snapshot -r work two
btrfs -q send --proto 1 -f "$OLDPWD/v1-full.stream" one
btrfs -q send --proto 1 -p one -f "$OLDPWD/v1-delta.stream" two
btrfs -q send --proto 2 --compressed-data -f "$OLDPWD/v2-full.stream" one
cd "$OLDPWD"
