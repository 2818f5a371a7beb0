package disk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Claim opens the disk at path for writing. It fails if anything on it is in use: a mounted partition, an array, a
// logical volume.
func Claim(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_EXCL|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.EBUSY) {
		return nil, fmt.Errorf("opening %s: something on it is in use (mounted, or part of an array): %w", path, err)
	}
	if err != nil {
		return nil, fmt.Errorf("opening disk: %w", err)
	}
	uncache(f)
	return f, nil
}

// uncache drops what the kernel remembers of a disk that is not in use: another machine may have written to it since,
// where storage is shared.
func uncache(f *os.File) { _ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED) }

// Geometry asks the kernel for the size of an open disk and of its logical sectors, in bytes.
func Geometry(f *os.File) (size int64, sectorSize int, err error) {
	var n uint64
	if err := ioctl(f.Fd(), unix.BLKGETSIZE64, unsafe.Pointer(&n)); err != nil {
		return 0, 0, fmt.Errorf("asking for the size of %s: %w", f.Name(), err)
	}
	sectorSize, err = unix.IoctlGetInt(int(f.Fd()), unix.BLKSSZGET)
	if err != nil {
		return 0, 0, fmt.Errorf("asking for the sectors of %s: %w", f.Name(), err)
	}
	return int64(n), sectorSize, nil
}

// Node returns the device file of a partition of the disk at path. If the file does not exist, as without devtmpfs,
// Node makes it next to the disk's, from the numbers in sysfs.
func Node(path, sys string, number int) (string, error) {
	name := filepath.Base(path)
	part := name + strconv.Itoa(number)
	if c := name[len(name)-1]; c >= '0' && c <= '9' {
		part = name + "p" + strconv.Itoa(number)
	}
	node := filepath.Join(filepath.Dir(path), part)
	b, err := os.ReadFile(filepath.Join(sys, "block", name, part, "dev"))
	if err != nil {
		return "", fmt.Errorf("finding partition %d of %s: the kernel does not know it: %w", number, path, err)
	}
	var major, minor uint32
	if _, err := fmt.Sscanf(string(b), "%d:%d", &major, &minor); err != nil {
		return "", fmt.Errorf("finding partition %d of %s: device number %q: %w", number, path, b, err)
	}
	want := unix.Mkdev(major, minor)
	var st unix.Stat_t
	if err := unix.Stat(node, &st); err == nil {
		if st.Mode&unix.S_IFMT == unix.S_IFBLK && st.Rdev == want {
			return node, nil
		}
		return "", fmt.Errorf("finding partition %d of %s: %s is something else", number, path, node)
	}
	if err := unix.Mknod(node, unix.S_IFBLK|0o600, int(want)); err != nil && !errors.Is(err, unix.EEXIST) {
		return "", fmt.Errorf("making %s: %w", node, err)
	}
	return node, nil
}
