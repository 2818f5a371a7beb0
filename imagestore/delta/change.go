package delta

import (
	"bytes"
	"fmt"
	"time"

	"griddle/imagestore/content"
	"griddle/imagestore/sendstream"
)

func timeOf(t content.Time) time.Time { return time.Unix(t.Sec, int64(t.Nsec)).UTC() }

// change makes an inode of the parent one of the new tree. Both are at e.Path when the stream comes to it.
type change struct {
	e, was *content.Entry // of the same type
	clone  clone
}

func sameData(a, b *content.Entry) bool { return a.Size == b.Size && a.SHA256 == b.SHA256 }

func (c *change) weight() int64 {
	if sameData(c.e, c.was) || !c.clone.id.IsZero() {
		return 512
	}
	return 512 + c.e.Size + c.was.Size
}

func (c *change) write(w *worker) error {
	if err := w.undress(c.e, c.was.Xattrs); err != nil {
		return err
	}
	data := !sameData(c.e, c.was)
	if data {
		if err := c.data(w); err != nil {
			return err
		}
	}
	return w.alter(c.e, c.was, c.was.Xattrs, data, data)
}

// data makes the file's content the new one.
func (c *change) data(w *worker) error {
	if c.clone.id.IsZero() && w.old != nil {
		return c.compare(w)
	}
	if c.was.Size > 0 {
		if err := w.truncate(c.e.Path, 0); err != nil {
			return err
		}
	}
	if !c.clone.id.IsZero() {
		return w.clone(c.e, c.clone)
	}
	f, err := w.openNew(c.e)
	if err != nil {
		return err
	}
	defer f.close()
	if err := w.whole(c.e, f); err != nil {
		return err
	}
	return w.check(c.e)
}

func (w *worker) truncate(path string, size int64) error {
	return w.put(&sendstream.Command{Op: sendstream.OpTruncate, Path: path, Size: uint64(size)})
}

// check compares what was hashed with the manifest.
func (w *worker) check(e *content.Entry) error {
	if [32]byte(w.hash.Sum(nil)) != e.SHA256 {
		return fmt.Errorf("%s: %w: it has other content", quoted(e.Path), ErrChanged)
	}
	return nil
}

// compare writes the blocks that differ. A hole in the new file where the old one has data is written as zeros, which
// version 1 has no better word for, unless there is nothing but holes behind it.
func (c *change) compare(w *worker) error {
	new, err := w.openNew(c.e)
	if err != nil {
		return err
	}
	defer new.close()
	old, err := open(w.old, c.was)
	if err != nil {
		return fmt.Errorf("parent: %w", err)
	}
	defer old.close()
	dataEnd, err := new.lastData()
	if err != nil {
		return err
	}
	size := old.size // of the file, as the stream goes on
	if dataEnd < size {
		size = dataEnd
		if err := w.truncate(c.e.Path, size); err != nil {
			return err
		}
	}
	left := size // of the old data
	w.hash.Reset()
	w.oldHash.Reset()
	for offset := int64(0); offset < max(new.size, old.size); offset += compareSize {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		a, b := w.buffer(0), w.buffer(1)
		n, err := part(new, a, offset)
		if err != nil {
			return err
		}
		w.hash.Write(a[:n])
		m, err := part(old, b, offset)
		if err != nil {
			return fmt.Errorf("parent: %w", err)
		}
		w.oldHash.Write(b[:m])
		clear(b[min(max(left-offset, 0), compareSize):])
		if size, err = c.runs(w, a[:n], a, b, offset, size); err != nil {
			return err
		}
	}
	if [32]byte(w.oldHash.Sum(nil)) != c.was.SHA256 {
		return fmt.Errorf("parent: %s: %w: it has other content", quoted(c.was.Path), ErrChanged)
	}
	if size != new.size {
		if err := w.truncate(c.e.Path, new.size); err != nil {
			return err
		}
	}
	return w.check(c.e)
}

// part reads what the file has at offset, at most as much as b holds, and makes the rest of b zeros.
func part(f *file, b []byte, offset int64) (int, error) {
	n := int(min(max(f.size-offset, 0), int64(len(b))))
	clear(b[n:])
	return n, f.read(b[:n], offset)
}

// runs writes the runs of blocks in which a and b, parts at offset, differ. data is what of a is in the file. It gives
// the new size of the file.
func (c *change) runs(w *worker, data, a, b []byte, offset, size int64) (int64, error) {
	for i := 0; i < len(data); {
		if bytes.Equal(a[i:i+block], b[i:i+block]) {
			i += block
			continue
		}
		end := i + block
		for end < len(data) && end-i < maxData && !bytes.Equal(a[end:end+block], b[end:end+block]) {
			end += block
		}
		n := min(end, len(data)) - i
		to, err := w.begin(c.e.Path, offset+int64(i), n)
		if err != nil {
			return 0, err
		}
		copy(to, data[i:])
		w.seal(c.e.Path, n)
		size = max(size, offset+int64(i+n))
		i = end
	}
	return size, nil
}

// lastData is where the last data of the file ends.
func (f *file) lastData() (int64, error) {
	end := int64(0)
	for offset := int64(0); offset < f.size; {
		from, to, err := f.data(offset)
		if err != nil {
			return 0, err
		}
		if from < to {
			end = to
		}
		offset = to
	}
	return end, nil
}
