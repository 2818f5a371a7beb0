package receive

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"griddle/imagestore/sendstream"
)

// Requests of ioctl(2) for btrfs, and what goes with them (include/uapi/linux/btrfs.h).
const (
	iocSnapDestroy    = 0x5000940f // _IOW(0x94, 15, volArgs)
	iocSnapCreateV2   = 0x50009417 // _IOW(0x94, 23, volArgsV2)
	iocSubvolCreateV2 = 0x50009418 // _IOW(0x94, 24, volArgsV2)
	iocSubvolGetFlags = 0x80089419 // _IOR(0x94, 25, u64)
	iocSubvolSetFlags = 0x4008941a // _IOW(0x94, 26, u64)
	iocSetReceived    = 0xc0c89425 // _IOWR(0x94, 37, receivedArgs)
	iocEncodedWrite   = 0x40809440 // _IOW(0x94, 64, encodedArgs)

	subvolReadOnly = 1 << 1 // BTRFS_SUBVOL_RDONLY
	// BTRFS_FIRST_FREE_OBJECTID: the inode number of every subvolume's root, and of no other directory
	subvolRootIno = 256
)

type volArgs struct {
	fd   int64
	name [4088]byte
}

type volArgsV2 struct {
	fd      int64
	transid uint64
	flags   uint64
	unused  [4]uint64
	name    [4040]byte
}

type receivedArgs struct {
	uuid     [16]byte
	stransid uint64
	rtransid uint64
	stime    [2]uint64
	rtime    [2]uint64
	flags    uint64
	reserved [16]uint64
}

type encodedArgs struct {
	iov             *unix.Iovec
	iovcnt          uint64
	offset          int64
	flags           uint64
	len             uint64
	unencodedLen    uint64
	unencodedOffset uint64
	compression     uint32
	encryption      uint32
	reserved        [64]byte
}

func ioctl(fd int, request uintptr, arg unsafe.Pointer) (int, error) {
	for {
		n, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(arg))
		if errno == 0 {
			return int(n), nil
		}
		if errno != unix.EINTR {
			return 0, errno
		}
	}
}

// onBtrfs reports whether fd lies on a btrfs file system.
func onBtrfs(fd int) (bool, error) {
	var s unix.Statfs_t
	if err := unix.Fstatfs(fd, &s); err != nil {
		return false, os.NewSyscallError("fstatfs", err)
	}
	return s.Type == unix.BTRFS_SUPER_MAGIC, nil
}

// isSubvolume reports whether fd is the root directory of a btrfs subvolume.
func isSubvolume(fd int) (bool, error) {
	if btrfs, err := onBtrfs(fd); err != nil || !btrfs {
		return false, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return false, os.NewSyscallError("fstat", err)
	}
	return st.Ino == subvolRootIno, nil
}

// createSubvolume makes an empty subvolume of that name in the directory.
func createSubvolume(dir int, name string) error {
	var a volArgsV2
	copy(a.name[:len(a.name)-1], name)
	if _, err := ioctl(dir, iocSubvolCreateV2, unsafe.Pointer(&a)); err != nil {
		return fmt.Errorf("creating subvolume %s: %w", name, err)
	}
	return nil
}

// createSnapshot makes a writable snapshot of the subvolume whose root is source.
func createSnapshot(dir int, name string, source int) error {
	a := volArgsV2{fd: int64(source)}
	copy(a.name[:len(a.name)-1], name)
	if _, err := ioctl(dir, iocSnapCreateV2, unsafe.Pointer(&a)); err != nil {
		return fmt.Errorf("creating snapshot %s: %w", name, err)
	}
	return nil
}

// destroySubvolume removes a subvolume, read-only or not, with all that is in it.
func destroySubvolume(dir int, name string) error {
	var a volArgs
	copy(a.name[:len(a.name)-1], name)
	if _, err := ioctl(dir, iocSnapDestroy, unsafe.Pointer(&a)); err != nil {
		return fmt.Errorf("removing subvolume %s: %w", name, err)
	}
	return nil
}

// sealSubvolume notes whose copy the subvolume is, and makes it read-only; in this order, since the note counts as a
// change and a read-only subvolume refuses it with EROFS.
func sealSubvolume(fd int, uuid sendstream.UUID, ctransid uint64) error {
	a := receivedArgs{uuid: uuid, stransid: ctransid}
	if _, err := ioctl(fd, iocSetReceived, unsafe.Pointer(&a)); err != nil {
		return fmt.Errorf("setting received UUID: %w", err)
	}
	var flags uint64
	if _, err := ioctl(fd, iocSubvolGetFlags, unsafe.Pointer(&flags)); err != nil {
		return fmt.Errorf("reading subvolume flags: %w", err)
	}
	flags |= subvolReadOnly
	if _, err := ioctl(fd, iocSubvolSetFlags, unsafe.Pointer(&flags)); err != nil {
		return fmt.Errorf("making subvolume read-only: %w", err)
	}
	return nil
}

// encodedWrite hands compressed data to btrfs as it is.
func encodedWrite(fd int, c *sendstream.Command) error {
	if len(c.Data) == 0 {
		return unix.EINVAL
	}
	iov := unix.Iovec{Base: &c.Data[0], Len: uint64(len(c.Data))}
	a := encodedArgs{
		iov: &iov, iovcnt: 1, offset: int64(c.FileOffset), len: c.UnencodedFileLen, unencodedLen: c.UnencodedLen,
		unencodedOffset: c.UnencodedOffset, compression: uint32(c.Compression), encryption: c.Encryption,
	}
	n, err := ioctl(fd, iocEncodedWrite, unsafe.Pointer(&a))
	if err != nil {
		return err
	}
	if uint64(n) != uint64(len(c.Data)) && uint64(n) != c.UnencodedFileLen {
		return fmt.Errorf("encoded write took %d bytes of %d", n, len(c.Data))
	}
	return nil
}
