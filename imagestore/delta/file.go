package delta

import (
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"

	"griddle/imagestore/content"
	"griddle/imagestore/sendstream"
)

const (
	block = 4096
	// maxData is the data of one write: as many blocks as fit into a command beside the longest path.
	maxData = 14 * block
)

// file is an open regular file of the size that its manifest says.
type file struct {
	fd     int
	path   string
	size   int64
	sparse bool // there may be holes
}

func (w *worker) openNew(e *content.Entry) (*file, error) { return open(w.new, e) }

func open(root *content.Root, e *content.Entry) (*file, error) {
	var st unix.Stat_t
	fd, err := root.Open(e.Path, &st)
	if err != nil {
		return nil, err
	}
	if st.Size != e.Size {
		unix.Close(fd)
		return nil, fmt.Errorf("%s: %w: it has %d bytes, not %d", quoted(e.Path), ErrChanged, st.Size, e.Size)
	}
	return &file{fd: fd, path: e.Path, size: st.Size, sparse: st.Blocks*512 < st.Size}, nil
}

func (f *file) close() { unix.Close(f.fd) }

// read fills b from the offset.
func (f *file) read(b []byte, offset int64) error {
	for len(b) > 0 {
		n, err := unix.Pread(f.fd, b, offset)
		if err == unix.EINTR {
			continue
		}
		if err == nil && n == 0 {
			err = fmt.Errorf("%w: it ends at byte %d", ErrChanged, offset)
		}
		if err != nil {
			return fmt.Errorf("reading %s: %w", quoted(f.path), err)
		}
		b, offset = b[n:], offset+int64(n)
	}
	return nil
}

// data gives the next bytes from offset on that are no hole. Both are the file's size where there is none.
func (f *file) data(offset int64) (from, to int64, err error) {
	if !f.sparse || offset >= f.size {
		return min(offset, f.size), f.size, nil
	}
	if from, to, err = content.NextData(f.fd, offset, f.size); err != nil {
		return 0, 0, fmt.Errorf("%s: %w", quoted(f.path), err)
	}
	return from, to, nil
}

// whole writes all data of an empty file, leaves its holes alone, and hashes both into w.hash.
func (w *worker) whole(e *content.Entry, f *file) error {
	w.hash.Reset()
	written := int64(0)
	for offset := int64(0); offset < f.size; {
		from, to, err := f.data(offset)
		if err != nil {
			return err
		}
		if err := w.hashZeros(from - offset); err != nil {
			return err
		}
		for offset = from; offset < to; {
			n := min(to-offset, maxData)
			b, err := w.begin(e.Path, offset, int(n))
			if err != nil {
				return err
			}
			if err := f.read(b, offset); err != nil {
				return err
			}
			if !w.unsummed {
				w.hash.Write(b)
			}
			w.seal(e.Path, int(n))
			offset += n
			written = offset
		}
	}
	if written < f.size {
		return w.put(&sendstream.Command{Op: sendstream.OpTruncate, Path: e.Path, Size: uint64(f.size)})
	}
	return nil
}

// begin adds a write whose n bytes of data are filled in by the caller, who calls seal then.
func (w *worker) begin(path string, offset int64, n int) ([]byte, error) {
	if err := w.ctx.Err(); err != nil {
		return nil, err
	}
	if err := w.room(sendstream.WriteOverhead(path) + n); err != nil {
		return nil, err
	}
	c := w.now
	var err error
	c.b, err = w.enc.AppendWrite(c.b, path, uint64(offset), n)
	return c.b[len(c.b)-n:], err
}

func (w *worker) seal(path string, n int) {
	b := w.now.b
	w.enc.Seal(b[len(b)-n-sendstream.WriteOverhead(path):])
}

// hashZeros hashes n zeros into w.hash.
func (w *worker) hashZeros(n int64) error {
	if n <= 0 || w.unsummed {
		return nil
	}
	zeros := w.buffer(0)
	clear(zeros)
	for n > 0 {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		k := min(n, int64(len(zeros)))
		w.hash.Write(zeros[:k])
		n -= k
	}
	return nil
}

// compareSize is how much of two versions of a file is compared at a time.
const compareSize = 1 << 20

func (w *worker) buffer(i int) []byte {
	if w.compare[i] == nil {
		w.compare[i] = make([]byte, compareSize)
	}
	return w.compare[i]
}

// clone is a file of the parent.
type clone struct {
	id       sendstream.UUID // of the parent; zero where nothing is cloned
	ctransid uint64
	path     string
}

// clone fills an empty file with the content of one of the parent.
func (w *worker) clone(e *content.Entry, c clone) error {
	return w.put(&sendstream.Command{Op: sendstream.OpClone, Path: e.Path, CloneLen: uint64(e.Size), CloneUUID: c.id,
		CloneCtransid: c.ctransid, ClonePath: c.path})
}

func (w *worker) utimes(path string, t content.Time) error {
	at := timeOf(t)
	return w.put(&sendstream.Command{Op: sendstream.OpUtimes, Path: path, Atime: at, Mtime: at, Ctime: at})
}

// quoted is a path for an error.
func quoted(path string) string { return strconv.Quote(path) }
