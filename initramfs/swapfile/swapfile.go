// Package swapfile makes the swap file of a machine, in a btrfs subvolume of its own.
//
// Make the subvolume Subvolume at the top of the pool, beside @home, call Make on it, make the folder Mount in the root
// of the system, and add Lines to its fstab. All roots of the pool use the same file.
//
// btrfs makes no snapshot of a subvolume that has an active swap file in it, and swapon(8) takes no file whose extents
// a snapshot shares (btrfs(5), SWAPFILE SUPPORT). So the file is not in the root, which is snapshotted.
//
//	byte  0                     1024       1028         1036            page-10      page
//	      +---------------------+----------+------------+---------------+------------+------------------
//	      | 0                   | version  | last page  | UUID and more | SWAPSPACE2 | what is swapped
//	      +---------------------+----------+------------+---------------+------------+------------------
//
// The file is not copied on write, has no checksums, is not compressed, and all its space is allocated. Make syncs it.
// A file that is right already stays, so a second call after a crash completes the first one.
//
// Sources: btrfs(5), swapon(8), mkswap(8); Linux include/linux/swap.h, union swap_header, and fs/btrfs/inode.c,
// btrfs_swap_activate.
package swapfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"syscall"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"
)

// Where the file is.
const (
	Subvolume = "@swap"      // of the pool
	Mount     = "/swap"      // of the system
	name      = "swapfile"   // in both
	unit      = 1 << 20      // the size is a multiple of it
	noCOW     = 0x00800000   // FS_NOCOW_FL of <linux/fs.h>
	version   = 1            // of the header
	magic     = "SWAPSPACE2" // at the end of the first page
)

// Lines are those of fstab(5) for the file in the btrfs that device names, such as "UUID=…". A system starts without
// the file too.
func Lines(device string) []string {
	return []string{
		device + " " + Mount + " btrfs subvol=/" + Subvolume + ",noatime,nofail,x-systemd.device-timeout=0 0 0",
		Mount + "/" + name + " none swap nofail 0 0",
	}
}

// Make makes the file in subvolume, the top of a btrfs subvolume, with size bytes, rounded down to MiB. Below 1 MiB it
// makes none. The error says if the disk has not enough room for it.
func Make(subvolume *os.Root, size int64) error {
	size -= size % unit
	if size <= 0 {
		return nil
	}
	ok, err := made(subvolume, size)
	if err == nil && !ok {
		err = place(subvolume, size)
	}
	if err != nil {
		return fmt.Errorf("making the swap file of %d MiB: %w", size/unit, err)
	}
	return nil
}

// made reports whether the file is there as Make makes it.
func made(dir *os.Root, size int64) (bool, error) {
	f, err := dir.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil || !st.Mode().IsRegular() || st.Size() != size {
		return false, err
	}
	page := make([]byte, os.Getpagesize())
	_, err = f.ReadAt(page, 0)
	return bytes.HasSuffix(page, []byte(magic)), err
}

// place makes the file under another name, and renames it.
func place(dir *os.Root, size int64) (err error) {
	const tmp = name + ".new"
	if err := dir.RemoveAll(tmp); err != nil {
		return err
	}
	f, err := dir.OpenFile(tmp, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			err = errors.Join(err, dir.RemoveAll(tmp)) // what it holds of the disk
		}
	}()
	// While the file is empty: btrfs does not change the flag of one with extents.
	if err := unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, noCOW); err != nil {
		return fmt.Errorf("turning copy on write off, which btrfs can: %w", err)
	}
	err = unix.Fallocate(int(f.Fd()), 0, 0, size)
	if errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("%w; give a smaller swap, or use a larger disk", err)
	}
	if err != nil {
		return fmt.Errorf("allocating it: %w", err)
	}
	if _, err := f.WriteAt(Header(size, uuid.New(), ""), 0); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return dir.Rename(tmp, name)
}

// Header is the first page of a swap file or a swap partition of size bytes. A label has at most 15 bytes.
func Header(size int64, id uuid.UUID, label string) []byte {
	page := make([]byte, os.Getpagesize())
	binary.NativeEndian.PutUint32(page[1024:], version)
	binary.NativeEndian.PutUint32(page[1028:], uint32(min(size/int64(len(page))-1, math.MaxUint32)))
	copy(page[1036:1052], id[:])
	copy(page[1052:1067], label)
	copy(page[len(page)-len(magic):], magic)
	return page
}
