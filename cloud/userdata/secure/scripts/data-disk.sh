#!/bin/sh
# Mounts a data disk: data-disk LABEL MOUNTPOINT [BYTES [DISK...]].
#
# A filesystem with the label is ours, from an earlier system of this server, and is mounted as it is. Else a blank
# disk is formatted: one of exactly BYTES, or when none came within a minute the largest, among all disks that do not come
# and go (USB, SD cards) or those named. Blank is a disk without partitions, signature or user, whose first and last
# 16 MiB, and 4 KiB in each 1/1024 of it, are zero. A disk that is anything else, or cannot be read, is never written to.
# Exit 0: mounted; 1: not, with the reason on standard error.
set -u
label=$1 mountpoint=$2 bytes=${3:-0} sampled=''
[ $# -ge 3 ] && shift 3 || shift $#
named=$*

die() {
	echo "$mountpoint: $*" >&2
	exit 1
}

# zero DISK OFFSET BYTES: whether all of them could be read and are zero.
zero() { cmp -s -n "$3" -i "$2":0 "$1" /dev/zero; }

# why DISK: says why it is not blank, or nothing. Quick, since it is asked of every disk, again and again; samples decides.
why() {
	case "$sampled " in *" $1 "*) echo "has data"; return ;; esac
	name=${1##*/}
	sys=/sys/class/block/$name
	[ -b "$1" ] || { echo "is not a block device"; return; }
	[ "$(cat "$sys/ro" 2>&1)" = 0 ] || { echo "is read-only"; return; }
	for part in "$sys"/*/partition; do
		[ -e "$part" ] && { echo "has partitions"; return; }
	done
	[ -z "$(ls "$sys/holders" 2>&1)" ] || { echo "is in use"; return; }
	grep -q "^$1 " /proc/self/mounts /proc/swaps && { echo "is in use"; return; }
	size=$(blockdev --getsize64 "$1" 2>/dev/null) || { echo "cannot be read"; return; }
	[ "$size" -ge 67108864 ] || { echo "is smaller than 64 MiB"; return; }
	found=$(blkid -p -s TYPE -s PTTYPE -o value "$1" 2>/dev/null)
	# 2 means that nothing was found; anything else, that there is something or that it could not tell.
	[ $? = 2 ] || { echo "holds $(echo ${found:-data})"; return; }
	found=$(wipefs --no-act --parsable "$1" 2>&1) && [ -z "$found" ] || { echo "has a signature"; return; }
	zero "$1" 0 16777216 || { echo "has data in its first 16 MiB"; return; }
	zero "$1" $((size - 16777216)) 16777216 || { echo "has data in its last 16 MiB"; return; }
	# The first copy of an ext4's superblock.
	[ "$size" -lt 134283264 ] || zero "$1" 134217728 65536 || { echo "has data"; return; }
	i=1
	while [ $i -lt 16 ]; do
		zero "$1" $((size / 16 * i)) 65536 || { echo "has data"; return; }
		i=$((i + 1))
	done
}

# samples DISK: whether a place in each 1/1024 of it is zero.
samples() {
	pages=$(($(blockdev --getsize64 "$1") / 4096)) i=0
	at=$(od -An -N4 -tu4 /dev/urandom) || return
	while [ $i -lt 1024 ]; do
		at=$(((at * 1103515245 + 12345) % 2147483648)) # rand() of C
		zero "$1" $(((pages * i / 1024 + at % (pages / 1024)) * 4096)) 4096 || return
		i=$((i + 1))
	done
}

disks() {
	[ -z "$named" ] || { echo $named; return; }
	for sys in /sys/block/*; do
		case ${sys##*/} in loop* | ram* | zram* | sr* | fd* | md* | dm-* | nbd* | mtd*) continue ;; esac
		case $(readlink -f "$sys") in */usb[0-9]*) continue ;; esac
		[ "$(cat "$sys/device/type" 2>&1)" != SD ] || continue
		[ "$(cat "$sys/removable" 2>&1)" = 0 ] && [ "$(cat "$sys/size")" -gt 0 ] && echo "/dev/${sys##*/}"
	done
}

# choose ANY: prints the blank disk of the wanted size or, with ANY, the largest.
choose() {
	best='' most=0
	for disk in $(disks); do
		[ -z "$(why "$disk")" ] || continue
		size=$(blockdev --getsize64 "$disk") || continue
		[ "$size" = "$bytes" ] && { echo "$disk"; return; }
		[ "$size" -gt "$most" ] && best=$disk most=$size
	done
	[ "$1" = any ] && echo "$best"
}

ours() { blkid -c /dev/null -o device -t "LABEL=$label"; }

if mountpoint -q "$mountpoint"; then
	exit 0 # a container's volume comes mounted
fi
if systemd-detect-virt --container --quiet; then
	die "a container gets its volumes mounted, and this one was not"
fi
udevadm settle
tries=0
while :; do
	disk=$(ours)
	[ -z "$disk" ] || break
	# Some clouds attach volumes after they started the server.
	any=''
	if [ "$bytes" = 0 ] || [ -n "$named" ] || [ $tries -ge 30 ]; then any=any; fi
	disk=$(choose "$any")
	if [ -n "$disk" ]; then
		samples "$disk" && break
		sampled="$sampled $disk"
		continue
	fi
	if [ -n "$any" ]; then
		for d in $(disks); do
			seen="${seen-}; $d $(why "$d")"
		done
		die "no blank disk${seen-}"
	fi
	tries=$((tries + 1))
	sleep 2
done
[ "$(echo "$disk" | wc -l)" = 1 ] || die "more than one disk has the label $label:" $disk

if [ -z "$(ours)" ]; then
	[ ! -e "$mountpoint" ] || [ -z "$(ls -A "$mountpoint")" ] || die "the image has files there, which the disk would hide"
	mkfs.ext4 -q -m 0 -L "$label" "$disk" </dev/null || die "$disk: mkfs.ext4 failed"
	sync
	udevadm settle
fi
[ "$(blkid -c /dev/null -s TYPE -o value "$disk")" = ext4 ] || die "$disk has the label $label and no ext4"

mkdir -p "$mountpoint"
{
	grep -v "^LABEL=$label[[:space:]]" /etc/fstab
	echo "LABEL=$label $mountpoint ext4 defaults,nofail,x-systemd.device-timeout=60s 0 2"
} >/etc/fstab.new && sync /etc/fstab.new && mv /etc/fstab.new /etc/fstab || die "writing /etc/fstab failed"
systemctl daemon-reload 2>/dev/null
mount "$mountpoint" || mountpoint -q "$mountpoint" || die "$disk cannot be mounted"
# The provider may have made the volume larger.
said=$(resize2fs "$disk" 2>&1) || die "$disk: growing its filesystem failed:" $said
