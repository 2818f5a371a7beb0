package content

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// sparseFrom is the size in bytes from which on it is asked whether a file has holes: below it they save nothing.
const sparseFrom = 64 << 10

// NextData returns the next range of a file, from at on, that is not a hole (lseek(2), SEEK_DATA and SEEK_HOLE). Both
// ends are size if only a hole follows. On a filesystem without holes all is data.
func NextData(fd int, at, size int64) (from, to int64, err error) {
	from, err = unix.Seek(fd, at, unix.SEEK_DATA)
	if err == unix.ENXIO {
		return size, size, nil
	}
	if err == unix.EINVAL || err == unix.EOPNOTSUPP {
		return at, size, nil
	}
	if err == nil {
		to, err = unix.Seek(fd, from, unix.SEEK_HOLE)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("looking for holes: %w", err)
	}
	return min(from, size), min(to, size), nil
}

// Stored is how many bytes the files of the tree below dir take, whose manifest is m: each inode once, without its
// holes.
func Stored(ctx context.Context, dir string, m *Manifest) (int64, error) {
	root, err := OpenRoot(dir)
	if err != nil {
		return 0, fmt.Errorf("adding up sizes: %w", err)
	}
	defer root.Close()
	var sum int64
	for i := range m.Entries {
		e := &m.Entries[i]
		n := e.Size
		if e.Type == Regular && e.Size >= sparseFrom {
			if err = ctx.Err(); err == nil {
				n, err = root.stored(e)
			}
			if err != nil {
				return 0, fmt.Errorf("adding up the sizes of %s: %s: %w", dir, escape(e.Path), err)
			}
		}
		sum += n
	}
	return sum, nil
}

func (r *Root) stored(e *Entry) (int64, error) {
	var st unix.Stat_t
	fd, err := r.Open(e.Path, &st)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	if st.Blocks*512 >= st.Size {
		return e.Size, nil
	}
	sum := int64(0)
	for at := int64(0); at < e.Size; {
		from, to, err := NextData(fd, at, e.Size)
		if err != nil {
			return 0, err
		}
		sum += to - from
		at = to
	}
	return sum, nil
}

// hashFile reads f to its end through buf, but for its holes, which count as zeros, and calls count, if not nil, after
// each read.
func hashFile(ctx context.Context, f *os.File, buf []byte, count func(int)) (sum [32]byte, n int64, err error) {
	h := sha256.New()
	add := func(b []byte) error {
		h.Write(b)
		n += int64(len(b))
		if count != nil && len(b) > 0 {
			count(len(b))
		}
		return ctx.Err()
	}
	if err = hashSparse(f, buf, add); err != nil {
		return sum, n, err
	}
	for {
		k, err := f.ReadAt(buf, n)
		if aerr := add(buf[:k]); aerr != nil {
			return sum, n, aerr
		}
		if err == io.EOF {
			h.Sum(sum[:0])
			return sum, n, nil
		}
		if err != nil {
			return sum, n, err
		}
	}
}

// hashSparse gives add the content of a file with holes up to its size, and of any other nothing.
func hashSparse(f *os.File, buf []byte, add func([]byte) error) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return err
	}
	if st.Size < sparseFrom || st.Blocks*512 >= st.Size {
		return nil
	}
	zeros := make([]byte, sparseFrom)
	for at := int64(0); at < st.Size; {
		from, to, err := NextData(int(f.Fd()), at, st.Size)
		if err != nil {
			return err
		}
		for ; at < from; at += min(from-at, int64(len(zeros))) {
			if err := add(zeros[:min(from-at, int64(len(zeros)))]); err != nil {
				return err
			}
		}
		for at < to {
			k, err := f.ReadAt(buf[:min(to-at, int64(len(buf)))], at)
			if k == 0 {
				return err // shorter than it was: the caller finds out
			}
			if err := add(buf[:k]); err != nil {
				return err
			}
			at += int64(k)
		}
	}
	return nil
}
