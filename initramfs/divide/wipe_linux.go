package divide

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

// ends is how much is filled with zeros at both ends of what is wiped. The signatures of blkid and of package content
// are in the first 1 MiB and 8 KiB, or in the last MiB.
const ends = 2 << 20

// mirrors are where btrfs has copies of its superblock, in bytes from its start (btrfs(5), "superblock").
var mirrors = []int64{64 << 20, 256 << 30}

// wipe fills with zeros where the bytes from one to before another can have signatures of what begins at base. It is
// durable on return.
func wipe(f device, base, from, to int64) error {
	areas := [][2]int64{{from, min(to, from+ends)}, {max(from, to-ends), to}}
	for _, m := range mirrors {
		if base+m+4096 <= to {
			areas = append(areas, [2]int64{base + m, base + m + 4096})
		}
	}
	for _, a := range areas {
		if _, err := f.WriteAt(make([]byte, a[1]-a[0]), a[0]); err != nil {
			return fmt.Errorf("wiping old signatures: %w", err)
		}
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("wiping old signatures: %w", err)
	}
	return nil
}

// write writes durably.
func write(f device, b []byte, at int64) error {
	if _, err := f.WriteAt(b, at); err != nil {
		return err
	}
	return f.Sync()
}

// sum is the SHA-256 of what is at both ends of a part of a disk: by it, what was left in free space is told from what
// someone put there later.
func sum(f device, start, size int64) (string, error) {
	h := sha256.New()
	n := min(size, ends)
	for _, at := range []int64{start, start + size - n} {
		if _, err := io.Copy(h, io.NewSectionReader(f, at, n)); err != nil {
			return "", fmt.Errorf("reading %d bytes at byte %d: %w", n, at, err)
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// uncache drops what the kernel remembers of a device, so that what is read is on the disk.
func uncache(f device) {
	if f, ok := f.(interface{ Fd() uintptr }); ok {
		_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
	}
}

// zero says whether all bytes from one to before another are zero.
func zero(f device, from, to int64) (bool, error) {
	b := make([]byte, to-from)
	if _, err := f.ReadAt(b, from); err != nil {
		return false, err
	}
	return len(bytes.Trim(b, "\x00")) == 0, nil
}
