package subvolume

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Ioctls of include/uapi/linux/btrfs.h about the devices of a filesystem.
const (
	iocDevice = 0xd000941e // BTRFS_IOC_DEV_INFO: struct btrfs_ioctl_dev_info_args, 4096 bytes
	iocStats  = 0xc4089434 // BTRFS_IOC_GET_DEV_STATS: struct btrfs_ioctl_get_dev_stats, 1032 bytes
	iocSpace  = 0xc0109414 // BTRFS_IOC_SPACE_INFO: struct btrfs_ioctl_space_args, 16 bytes

	// Flags of a space: where data is twice, and what is only reserved (include/uapi/linux/btrfs_tree.h).
	spaceTwice    = 1 << 4
	spaceReserved = 1 << 49
)

// maxDevice is the largest ID of a device that is asked for.
const maxDevice = 1024

// Disk is one device of a filesystem that is mounted.
type Disk struct {
	ID     uint64 // in the filesystem
	Node   string // its device file, "" for one that is missing
	Size   int64  // bytes
	Errors uint64 // that the filesystem had with it: reads, writes and flushes that failed, and wrong sums
}

// Disks are the devices of the filesystem that is mounted at dir.
func Disks(dir string) ([]Disk, error) {
	d, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, fmt.Errorf("asking for the devices of a btrfs: %w", err)
	}
	defer d.Close()
	var fs [1024]byte // max_id 8, num_devices 8
	if err := ioctl(d, iocFilesystem, unsafe.Pointer(&fs)); err != nil {
		return nil, fmt.Errorf("asking for the devices of a btrfs: %w", err)
	}
	var out []Disk
	for id := uint64(0); id <= min(binary.NativeEndian.Uint64(fs[:]), maxDevice); id++ {
		var a [4096]byte // devid 8, uuid 16, bytes_used 8, total_bytes 8, padding, at 3072 the path
		binary.NativeEndian.PutUint64(a[:], id)
		err := ioctl(d, iocDevice, unsafe.Pointer(&a))
		if errors.Is(err, unix.ENODEV) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("asking for device %d of a btrfs: %w", id, err)
		}
		node, _, _ := bytes.Cut(a[3072:], []byte{0})
		one := Disk{ID: id, Node: string(node), Size: int64(binary.NativeEndian.Uint64(a[32:]))}
		var stats [1032]byte // devid 8, nr_items 8, flags 8, values 8 each
		binary.NativeEndian.PutUint64(stats[:], id)
		binary.NativeEndian.PutUint64(stats[8:], 5)
		if err := ioctl(d, iocStats, unsafe.Pointer(&stats)); err == nil { // a missing device may have none
			for i := range 5 {
				one.Errors += binary.NativeEndian.Uint64(stats[24+8*i:])
			}
		}
		out = append(out, one)
	}
	return out, nil
}

// Single is how many bytes of the filesystem that is mounted at dir are in use on one device only: what was written
// while the other device of a mirror was missing.
func Single(dir string) (int64, error) {
	d, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return 0, fmt.Errorf("asking for the space of a btrfs: %w", err)
	}
	defer d.Close()
	const most = 64
	var a [16 + most*24]byte // space_slots 8, total_spaces 8; of each space flags, total_bytes and used_bytes, 8 each
	binary.NativeEndian.PutUint64(a[:], most)
	if err := ioctl(d, iocSpace, unsafe.Pointer(&a)); err != nil {
		return 0, fmt.Errorf("asking for the space of a btrfs: %w", err)
	}
	single := int64(0)
	for i := range min(binary.NativeEndian.Uint64(a[8:]), most) {
		at := a[16+24*i:]
		if flags := binary.NativeEndian.Uint64(at); flags&(spaceTwice|spaceReserved) == 0 {
			single += int64(binary.NativeEndian.Uint64(at[16:]))
		}
	}
	return single, nil
}
