package sendstream

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
)

// Reader reads the commands of one stream, or of several that follow one another.
type Reader struct {
	r       io.Reader
	table   *crc32.Table
	buf     []byte // buf[start:end] was read and not used yet
	start   int
	end     int
	offset  int64 // in the input, of buf[start]
	used    int   // bytes at start that the command in cmd takes: gone with the next call
	version int
	ended   bool // the last command was END
	err     error
	cmd     Command
	path    string // the last path: a file's commands come together, and so share one string
}

// NewReader reads a stream's header from r and returns a Reader for the commands after it. The error is an *Error
// that wraps io.ErrUnexpectedEOF if r ends within the header, ErrMalformed if r is not a send stream, and ErrVersion
// if its version is not known. It reads ahead, so r needs no bufio.Reader.
func NewReader(r io.Reader) (*Reader, error) {
	d := &Reader{r: r, table: crc32.MakeTable(crc32.Castagnoli), buf: make([]byte, 256<<10)}
	if err := d.header(); err != nil {
		return nil, err
	}
	return d, nil
}

// Version returns the format's version of the current stream, 1 to MaxVersion.
func (d *Reader) Version() int { return d.version }

// Offset is how many bytes of the input were read for the commands returned so far.
func (d *Reader) Offset() int64 { return d.offset + int64(d.used) }

// Next returns the next command. It is the Reader's own, and it and its Data are valid until the next call; its
// strings stay valid. END is returned as a command too; after it come the commands of another stream, or io.EOF at
// the end of the input. An input that ends anywhere else gives io.ErrUnexpectedEOF, wrapped. Every error but io.EOF
// is an *Error, and Next returns it again at each later call.
func (d *Reader) Next() (*Command, error) {
	if d.err != nil {
		return nil, d.err
	}
	if err := d.next(); err != nil {
		d.err = err
		return nil, err
	}
	return &d.cmd, nil
}

func (d *Reader) next() error {
	d.start += d.used
	d.offset += int64(d.used)
	d.used = 0
	if d.ended {
		switch err := d.fill(1); err {
		case nil:
		case io.EOF:
			return io.EOF
		default:
			return d.fail(0, err)
		}
		if err := d.header(); err != nil {
			return err
		}
		d.ended = false
	}
	if err := d.fill(commandHeader); err != nil {
		return d.fail(0, cutOff(err))
	}
	head := d.buf[d.start:]
	payload := binary.LittleEndian.Uint32(head)
	op := Op(binary.LittleEndian.Uint16(head[4:]))
	sum := binary.LittleEndian.Uint32(head[6:])
	limit := uint32(MaxCommand)
	if d.version == 1 {
		limit = MaxCommandV1
	}
	if payload > limit-commandHeader {
		return d.fail(op, fmt.Errorf("%w: %d bytes, limit %d", ErrTooLong, uint64(payload)+commandHeader, limit))
	}
	length := commandHeader + int(payload)
	if err := d.fill(length); err != nil {
		return d.fail(op, cutOff(err))
	}
	raw := d.buf[d.start : d.start+length]
	clear(raw[6:10])
	if got := ^crc32.Update(^uint32(0), d.table, raw); got != sum {
		// The operation may be what is broken, but it helps whoever looks.
		return d.fail(op, fmt.Errorf("%w: computed %08x, stream has %08x", ErrChecksum, got, sum))
	}
	l := layoutOf(op)
	if l.name == "" || l.since > d.version {
		return d.fail(op, fmt.Errorf("%w: version %d has no such command", ErrMalformed, d.version))
	}
	d.cmd = Command{Op: op, Offset: d.offset, Length: length}
	if err := d.attributes(l, raw[commandHeader:]); err != nil {
		return d.fail(op, err)
	}
	d.used = length
	d.ended = op == OpEnd
	return nil
}

// header reads the header of a stream.
func (d *Reader) header() error {
	if err := d.fill(streamHeader); err != nil {
		// Say what it is rather than that it is short, where that can be told.
		eof := err == io.EOF || err == io.ErrUnexpectedEOF
		if n := min(d.end-d.start, len(magic)); eof && string(d.buf[d.start:d.start+n]) != magic[:n] {
			return d.fail(0, fmt.Errorf("%w: not a btrfs send stream", ErrMalformed))
		}
		return d.fail(0, cutOff(err))
	}
	h := d.buf[d.start:]
	if string(h[:len(magic)]) != magic {
		return d.fail(0, fmt.Errorf("%w: not a btrfs send stream", ErrMalformed))
	}
	v := binary.LittleEndian.Uint32(h[len(magic):])
	if v < 1 || v > MaxVersion {
		return d.fail(0, fmt.Errorf("%w: %d, want 1 to %d", ErrVersion, v, MaxVersion))
	}
	d.version = int(v)
	d.start += streamHeader
	d.offset += int64(streamHeader)
	return nil
}

// fill reads until n bytes are at start. Its error is io.EOF where the input ended before the first byte that was
// missing, io.ErrUnexpectedEOF where it ended behind it, or that of the reader below.
func (d *Reader) fill(n int) error {
	if d.end-d.start >= n {
		return nil
	}
	if d.start == d.end {
		d.start, d.end = 0, 0
	}
	if len(d.buf)-d.start < n {
		to := d.buf
		if len(to) < n {
			to = make([]byte, max(n, 2*len(d.buf)))
		}
		d.end = copy(to, d.buf[d.start:d.end])
		d.start = 0
		d.buf = to
	}
	got, err := io.ReadAtLeast(d.r, d.buf[d.end:], n-(d.end-d.start))
	d.end += got
	return err
}

// fail gives an error its place.
func (d *Reader) fail(op Op, err error) error { return &Error{Offset: d.offset, Op: op, Err: err} }

// cutOff turns the end of the input where there must be more into io.ErrUnexpectedEOF.
func cutOff(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
