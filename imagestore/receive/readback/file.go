package readback

import (
	"crypto/sha256"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"griddle/imagestore/content"
)

const (
	piece  = 1 << 20                // bytes that are read in one turn
	behind = 100 * time.Millisecond // that a disk may need to have written a settled file
)

// A note is of a file before it is read.
type note struct {
	fd      int // -1 if it is not read
	ino     uint64
	size    int64
	changed unix.Timespec
}

// note opens the file at path and notes what it is. It is called between two commands.
func (r *Reader) note(path string) note {
	fd, st := r.open(path)
	if fd >= 0 && time.Since(time.Unix(st.Ctim.Unix())) < r.rule.Rest {
		unix.Close(fd)
		fd = -1
	}
	return note{fd, st.Ino, st.Size, st.Ctim}
}

// flush has the kernel begin to write the file at path to the disk.
func (r *Reader) flush(path string) bool {
	fd, _ := r.open(path)
	if fd < 0 {
		return false
	}
	defer unix.Close(fd)
	return unix.SyncFileRange(fd, 0, 0, unix.SYNC_FILE_RANGE_WRITE) == nil
}

// read takes a reading of a file, if the disk has it.
func (r *Reader) read(n note) {
	if n.fd < 0 {
		return
	}
	defer unix.Close(n.fd)
	if len(r.readings) >= most || !onDisk(n.fd) {
		return
	}
	sum := sha256.New()
	for at := int64(0); at < n.size; {
		if at > 0 && !r.turn() {
			return
		}
		k, err := unix.Pread(n.fd, r.buf, at)
		if err == unix.EINTR {
			continue
		}
		if err != nil || k == 0 {
			return
		}
		sum.Write(r.buf[:k])
		at += int64(k)
	}
	r.readings[n.ino] = content.Reading{Size: n.size, Changed: n.changed, SHA256: [32]byte(sum.Sum(nil))}
}

// onDisk waits until the disk has the file, and drops its pages from the cache: O_DIRECT reads compressed data through
// that. It says no if the disk is busy.
func onDisk(fd int) bool {
	began := time.Now()
	err := unix.SyncFileRange(fd, 0, 0,
		unix.SYNC_FILE_RANGE_WAIT_BEFORE|unix.SYNC_FILE_RANGE_WRITE|unix.SYNC_FILE_RANGE_WAIT_AFTER)
	return err == nil && time.Since(began) < behind && unix.Fadvise(fd, 0, 0, unix.FADV_DONTNEED) == nil
}

// open opens the file at path for reads past the cache. The descriptor is -1 if it is none that is read here: nothing
// else is opened.
func (r *Reader) open(path string) (fd int, st unix.Stat_t) {
	name, err := unix.Openat2(r.root, path, &unix.OpenHow{Flags: unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV})
	if err != nil {
		return -1, st
	}
	defer unix.Close(name)
	// A file with holes, or with compressed data, has fewer blocks than bytes.
	if unix.Fstat(name, &st) != nil || st.Dev != r.dev || st.Mode&unix.S_IFMT != unix.S_IFREG ||
		st.Size < r.rule.Smallest || st.Blocks*512 < st.Size {
		return -1, st
	}
	fd, err = unix.Open("/proc/self/fd/"+strconv.Itoa(name),
		unix.O_RDONLY|unix.O_DIRECT|unix.O_NOATIME|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, st
	}
	return fd, st
}
