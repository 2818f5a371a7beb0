package ntfs

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// claim opens a partition so that no one else can mount it, or claim it, before the file and its copies in programs are
// closed: if this process ends while ntfsresize runs, the next one cannot start a second one.
func claim(device string) (*os.File, error) {
	dev, err := os.OpenFile(device, os.O_RDWR|unix.O_EXCL|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.EBUSY) {
		return nil, refuse(InUse)
	}
	return dev, err
}

// geometry is the size of a partition and of its disk's sectors, in bytes.
func geometry(f *os.File) (int64, int, error) {
	n, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, 0, err
	}
	sector, err := unix.IoctlGetInt(int(f.Fd()), unix.BLKSSZGET)
	if err != nil {
		return 0, 0, fmt.Errorf("asking for the sectors of %s: %w", f.Name(), err)
	}
	return n, sector, nil
}

// uncache drops what the kernel remembers of a partition.
func uncache(dev *os.File) { _ = unix.Fadvise(int(dev.Fd()), 0, 0, unix.FADV_DONTNEED) }
