package erase

import (
	"errors"
	"fmt"
	"io"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"griddle/initramfs/erase/ata"
	"griddle/initramfs/erase/nvme"
)

// Device is an open disk that is erased. Reads and writes are of whole sectors, from and to memory of aligned, and
// bypass the memory of the kernel: what is read comes from the disk.
type Device interface {
	io.ReaderAt
	io.WriterAt
	Sync() error // what was written is durable when it returns nil
	// Geometry is the size in bytes, and that of a logical sector.
	Geometry() (size int64, sector int, err error)
	// Discard asks the disk to forget everything. It fails if the kernel does not promise that the disk reads as zeros
	// then. SecureDiscard also asks it to erase all copies, and promises nothing of what is read.
	Discard() error
	SecureDiscard() error
	// Forget has the kernel read the partition table again.
	Forget() error
	NVMe() (nvme.Drive, error)
	ATA() ata.Drive
	Close() error
}

// Open claims the disk at path. It fails if anything on it is in use: a mounted partition, an array, swap.
func Open(path string) (Device, error) {
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_EXCL|unix.O_DIRECT|unix.O_CLOEXEC, 0)
	switch {
	case errors.Is(err, unix.EBUSY):
		return nil, fmt.Errorf("opening %s: something on it is in use (mounted, swap, or part of an array): %w", path,
			err)
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EROFS):
		return nil, fmt.Errorf("opening %s: it is read-only: %w", path, err)
	case err != nil:
		return nil, fmt.Errorf("opening disk: %w", err)
	}
	// The kernel may open it all the same, and refuse the writes.
	if ro, err := unix.IoctlGetInt(int(f.Fd()), unix.BLKROGET); err == nil && ro != 0 {
		return nil, errors.Join(fmt.Errorf("opening %s: it is read-only", path), f.Close())
	}
	return file{f}, nil
}

type file struct{ *os.File }

func (f file) Geometry() (size int64, sector int, err error) {
	var n uint64
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), unix.BLKGETSIZE64,
		uintptr(unsafe.Pointer(&n))); errno != 0 {
		return 0, 0, fmt.Errorf("asking for the size of %s: %w", f.Name(), errno)
	}
	sector, err = unix.IoctlGetInt(int(f.Fd()), unix.BLKSSZGET)
	if err != nil {
		return 0, 0, fmt.Errorf("asking for the sectors of %s: %w", f.Name(), err)
	}
	return int64(n), sector, nil
}

// Discard punches a hole as long as the disk: the kernel unmaps with the promise of zeros, or fails (blkdev_fallocate
// in the kernel's block/fops.c, BLKDEV_ZERO_NOFALLBACK). BLKDISCARD promises nothing of what is read afterwards.
func (f file) Discard() error {
	size, _, err := f.Geometry()
	if err != nil {
		return err
	}
	const most = 1 << 30 // so that one call does not take minutes
	for at := int64(0); at < size; at += most {
		if err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, at,
			min(most, size-at)); err != nil {
			return fmt.Errorf("discarding at byte %d: %w", at, err)
		}
	}
	return nil
}

// SecureDiscard is the ioctl BLKSECDISCARD, which the kernel passes on to eMMC alone (drivers/mmc/core/queue.c).
func (f file) SecureDiscard() error {
	size, _, err := f.Geometry()
	if err != nil {
		return err
	}
	extent := [2]uint64{0, uint64(size)}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), unix.BLKSECDISCARD,
		uintptr(unsafe.Pointer(&extent))); errno != 0 {
		return fmt.Errorf("discarding securely: %w", errno)
	}
	return nil
}

func (f file) Forget() error {
	err := unix.IoctlSetInt(int(f.Fd()), unix.BLKRRPART, 0)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOTTY) { // it has no partitions
		return nil
	}
	return err
}

func (f file) NVMe() (nvme.Drive, error) { return nvme.Of(f.File) }

func (f file) ATA() ata.Drive { return ata.Of(f.File) }

// aligned is n bytes of zeros that begin at a page, for reads and writes that bypass the kernel's memory.
func aligned(n int) []byte {
	page := os.Getpagesize()
	b := make([]byte, n+page)
	skip := -int(uintptr(unsafe.Pointer(&b[0]))) & (page - 1)
	return b[skip : skip+n : skip+n]
}
