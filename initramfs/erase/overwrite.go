package erase

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	chunk = 4 << 20 // bytes of one write or read
	block = 4096    // what is given up where the disk fails: the smallest that every disk can write by itself
	// step is how often the mark is brought up to date, so much is written twice after a power cut.
	step = 10 * time.Second
	// hopeless is after how many blocks in a row that cannot be written or read the disk counts as gone.
	hopeless = 4096
)

// errGone is why a disk is given up before its end.
var errGone = errors.New("the disk does not answer any more")

// overwriting writes zeros to a disk.
type overwriting struct {
	d    Device
	m    mark
	at   *atomic.Int64 // bytes so far
	lost int64         // bytes that could not be written
	row  int           // blocks in a row that could not be
	each int64         // bytes of one write, at most chunk
	now  func() time.Time
}

// run overwrites the disk from where the mark is, except for head. When it returns nil, all of that but w.lost bytes is
// durably zero, and the mark says so.
func (w *overwriting) run(ctx context.Context) error {
	if err := w.save(); err != nil {
		return err
	}
	zeros := aligned(int(w.each))
	last := w.now()
	for w.m.done < w.m.size {
		if err := ctx.Err(); err != nil {
			return errors.Join(context.Cause(ctx), w.save())
		}
		from := w.m.done
		n := min(w.each-from%w.each, w.m.size-from)
		if err := w.write(zeros[:n], from); err != nil {
			return err
		}
		w.m.done = from + n
		w.at.Store(w.m.done)
		if now := w.now(); now.Sub(last) >= step {
			if err := w.save(); err != nil {
				return err
			}
			last = now
		}
	}
	return w.save()
}

// save makes what was written durable, and then the mark: never the other way round.
func (w *overwriting) save() error {
	if err := w.d.Sync(); err != nil {
		return fmt.Errorf("writing to the disk: %w", err)
	}
	if _, err := w.d.WriteAt(w.m.encode(), 0); err != nil {
		return fmt.Errorf("writing the mark of the erase: %w", err)
	}
	if err := w.d.Sync(); err != nil {
		return fmt.Errorf("writing the mark of the erase: %w", err)
	}
	return nil
}

// write writes zeros, and gives up the blocks that the disk cannot write.
func (w *overwriting) write(zeros []byte, at int64) error {
	if _, err := w.d.WriteAt(zeros, at); err == nil {
		w.row = 0
		return nil
	} else if gone(err) {
		return fmt.Errorf("writing at byte %d: %w: %w", at, errGone, err)
	}
	for from := 0; from < len(zeros); from += block {
		b := zeros[from:min(from+block, len(zeros))]
		if _, err := w.d.WriteAt(b, at+int64(from)); err == nil {
			w.row = 0
			continue
		} else if w.row++; gone(err) || w.row > hopeless {
			return fmt.Errorf("writing at byte %d: %w: %w", at+int64(from), errGone, err)
		}
		w.lost += int64(len(b))
	}
	return nil
}

// gone says whether an error is that of a disk that was removed, and not of one place.
func gone(err error) bool {
	return errors.Is(err, unix.ENXIO) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EBADF) ||
		errors.Is(err, unix.EROFS) || errors.Is(err, unix.EPERM)
}

// unmark overwrites the head of the disk, with the mark, durably.
func unmark(d Device) error {
	if _, err := d.WriteAt(aligned(head), 0); err != nil {
		return fmt.Errorf("overwriting the mark of the erase: %w", err)
	}
	if err := d.Sync(); err != nil {
		return fmt.Errorf("overwriting the mark of the erase: %w", err)
	}
	return nil
}

// reading is what was read back.
type reading struct {
	bytes, unreadable int64
	data              int64 // the first byte that is not zero; -1 for none
}

// readBack reads a disk of size bytes from from on to its end, and stops at the first byte that is not zero.
func readBack(ctx context.Context, r io.ReaderAt, from, size int64, at *atomic.Int64) (reading, error) {
	out := reading{data: -1}
	b, zeros := aligned(chunk), make([]byte, chunk)
	row := 0
	look := func(b []byte, at int64) error {
		n, err := r.ReadAt(b, at)
		if n < len(b) {
			return tooShort(err)
		}
		out.bytes += int64(n)
		if !bytes.Equal(b, zeros[:n]) {
			out.data = at + int64(bytes.IndexFunc(b, func(r rune) bool { return r != 0 }))
		}
		row = 0
		return nil
	}
	for pos := from; pos < size && out.data < 0; {
		if ctx.Err() != nil {
			return out, context.Cause(ctx)
		}
		n := min(chunk-pos%chunk, size-pos)
		err := look(b[:n], pos)
		if err != nil && gone(err) {
			return out, fmt.Errorf("reading at byte %d: %w: %w", pos, errGone, err)
		}
		for part := int64(0); err != nil && part < n && out.data < 0; part += block {
			size := min(block, n-part)
			if e := look(b[:size], pos+part); e != nil {
				out.unreadable += size
				if row++; gone(e) || row > hopeless {
					return out, fmt.Errorf("reading at byte %d: %w: %w", pos+part, errGone, e)
				}
			}
		}
		pos += n
		at.Store(pos)
	}
	return out, nil
}

// tooShort is the error of a read that gave too little.
func tooShort(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
