package receive

import (
	"errors"
	"fmt"
	"io"
	"math"

	"golang.org/x/sys/unix"

	"griddle/imagestore/sendstream"
)

// This file is what applier does with the content of files.

// span checks that offset and length fit what the system calls take.
func span(offset, length uint64) error {
	if offset > math.MaxInt64 || length > math.MaxInt64-offset {
		return fmt.Errorf("bytes %d and %d more are beyond the largest file", offset, length)
	}
	return nil
}

func (a *applier) write(path string, offset uint64, data []byte) error {
	if err := span(offset, uint64(len(data))); err != nil {
		return err
	}
	fd, err := a.file(path)
	if err != nil {
		return err
	}
	for len(data) > 0 {
		n, err := unix.Pwrite(fd, data, int64(offset))
		if err == unix.EINTR {
			continue
		}
		if err == nil && n == 0 {
			err = io.ErrShortWrite
		}
		if err != nil {
			return at("writing", path, err)
		}
		data, offset = data[n:], offset+uint64(n)
	}
	return nil
}

// encodedWrite gives btrfs the data as they are, where it takes them; else it decompresses them.
func (a *applier) encodedWrite(s *step) error {
	if s.Encryption != 0 {
		return fmt.Errorf("encryption %d is not supported", s.Encryption)
	}
	if err := span(s.FileOffset, s.UnencodedFileLen); err != nil {
		return err
	}
	if !a.plain {
		fd, err := a.file(s.Path)
		if err != nil {
			return err
		}
		switch err := encodedWrite(fd, &s.Command); {
		case err == nil:
			return nil
		case errors.Is(err, unix.ENOTTY), errors.Is(err, unix.EPERM):
			a.plain = true // an old kernel, or one that does not trust us: it will not change its mind
		case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSPC):
			// This one does not suit the file system's sectors, or the file, or there is no room for such an extent.
		default:
			return at("writing encoded", s.Path, err)
		}
	}
	data, err := a.decode.decode(&s.Command)
	if err != nil {
		return at("decompressing for", s.Path, err)
	}
	return a.write(s.Path, s.FileOffset, data)
}

// cloneRange shares a piece of another file where the file system can do that, and copies it elsewhere.
func (a *applier) cloneRange(s *step) error {
	if err := span(s.FileOffset, s.CloneLen); err != nil {
		return err
	}
	if err := span(s.CloneOffset, s.CloneLen); err != nil {
		return err
	}
	source, err := a.clone(s)
	if err != nil {
		return err
	}
	from, err := source.openFile(s.ClonePath, unix.O_RDONLY)
	if err != nil {
		return at("cloning to", s.Path, err)
	}
	defer unix.Close(from)
	to, err := a.file(s.Path)
	if err != nil {
		return err
	}
	if s.CloneLen == 0 {
		return nil // which the call would take for "to the end"
	}
	err = unix.IoctlFileCloneRange(to, &unix.FileCloneRange{Src_fd: int64(from), Src_offset: s.CloneOffset,
		Src_length: s.CloneLen, Dest_offset: s.FileOffset})
	switch err {
	case unix.EOPNOTSUPP, unix.ENOTTY, unix.EXDEV, unix.EINVAL, unix.ENOSYS:
		// EINVAL: the piece does not suit this file system's blocks, or checksums and none are mixed; or the command is
		// one that no file system takes, and copying it might go on for ever.
		if err = copyable(to, from, s); err != nil {
			break
		}
		err = copyRange(to, int64(s.FileOffset), from, int64(s.CloneOffset), int64(s.CloneLen))
	}
	return at("cloning to", s.Path, err)
}

// copyable refuses what a clone can never be: beyond the end of its source, or from a file to a place of it that
// overlaps.
func copyable(to, from int, s *step) error {
	var a, b unix.Stat_t
	if err := errors.Join(unix.Fstat(from, &a), unix.Fstat(to, &b)); err != nil {
		return err
	}
	if s.CloneOffset+s.CloneLen > uint64(a.Size) {
		return fmt.Errorf("bytes %d and %d more are beyond the %d of the source", s.CloneOffset, s.CloneLen, a.Size)
	}
	if a.Ino == b.Ino && a.Dev == b.Dev && s.CloneOffset < s.FileOffset+s.CloneLen &&
		s.FileOffset < s.CloneOffset+s.CloneLen {
		return errors.New("source and target overlap")
	}
	return nil
}

// copyRange copies length bytes between two places that do not overlap.
func copyRange(to int, toOffset int64, from int, fromOffset, length int64) error {
	buf := make([]byte, min(length, 1<<20))
	for length > 0 {
		n, err := unix.Pread(from, buf[:min(length, int64(len(buf)))], fromOffset)
		if err == unix.EINTR {
			continue
		}
		if err == nil && n == 0 {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
		for b, o := buf[:n], toOffset; len(b) > 0; {
			w, err := unix.Pwrite(to, b, o)
			if err == unix.EINTR {
				continue
			}
			if err == nil && w == 0 {
				err = io.ErrShortWrite
			}
			if err != nil {
				return err
			}
			b, o = b[w:], o+int64(w)
		}
		length, fromOffset, toOffset = length-int64(n), fromOffset+int64(n), toOffset+int64(n)
	}
	return nil
}

func (a *applier) truncate(s *step) error {
	if err := span(s.Size, 0); err != nil {
		return err
	}
	fd, err := a.file(s.Path)
	if err != nil {
		return err
	}
	return at("truncating", s.Path, unix.Ftruncate(fd, int64(s.Size)))
}

// fallocate reserves room, which a file system may be unable to do and the content does not show, or punches a hole,
// which it does.
func (a *applier) fallocate(s *step) error {
	if err := span(s.FileOffset, s.Size); err != nil {
		return err
	}
	const punch = unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE
	if m := s.FallocateMode; m != 0 && m != unix.FALLOC_FL_KEEP_SIZE && m != punch {
		return fmt.Errorf("fallocate mode %#x is not supported", m)
	}
	fd, err := a.file(s.Path)
	if err != nil {
		return err
	}
	err = unix.Fallocate(fd, s.FallocateMode, int64(s.FileOffset), int64(s.Size))
	if err == unix.EOPNOTSUPP {
		err = a.fallocateElsewhere(fd, s)
	}
	return at("allocating", s.Path, err)
}

func (a *applier) fallocateElsewhere(fd int, s *step) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	end := int64(s.FileOffset + s.Size)
	switch {
	case s.FallocateMode == 0 && end > st.Size:
		return unix.Ftruncate(fd, end)
	case s.FallocateMode&unix.FALLOC_FL_PUNCH_HOLE == 0:
		return nil
	}
	zeros := make([]byte, 1<<20)
	for o := int64(s.FileOffset); o < min(end, st.Size); o += int64(len(zeros)) {
		if err := a.write(s.Path, uint64(o), zeros[:min(int64(len(zeros)), min(end, st.Size)-o)]); err != nil {
			return err
		}
	}
	return nil
}

// maxUnencoded bounds what one encoded write may be when it is decompressed (BTRFS_MAX_UNCOMPRESSED in
// fs/btrfs/compression.h). Data that are not compressed are bounded by the command itself.
const maxUnencoded = 128 << 10

// errEncoded is what data that do not decompress to what the command says give.
func errEncoded(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{sendstream.ErrMalformed}, args...)...)
}
