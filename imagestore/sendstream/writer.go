package sendstream

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"time"
)

// Writer writes a stream, or several one after the other.
type Writer struct {
	w       io.Writer
	table   *crc32.Table
	version int
	started bool // the header of the current stream is written
	buf     []byte
}

// NewWriter returns a Writer of streams of the given version, 1 to MaxVersion; any other gives ErrVersion. Nothing is
// written before the first command. Each command is one call of w.Write: use a bufio.Writer if calls are expensive.
func NewWriter(w io.Writer, version int) (*Writer, error) {
	if version < 1 || version > MaxVersion {
		return nil, fmt.Errorf("writing send stream: %w: %d, want 1 to %d", ErrVersion, version, MaxVersion)
	}
	return &Writer{w: w, table: crc32.MakeTable(crc32.Castagnoli), version: version}, nil
}

// Write writes one command, with the attributes of its Op in the order in which the kernel's sender has them. A
// Reader's commands can be written as they are: what the kernel sent comes out byte for byte, but that OpEncodedWrite
// always names the encryption, which the kernel leaves out for inline extents. A command after OpEnd begins a new
// stream. Paths are written as they are, sensible or not. The error is ErrTooLong if the command does not fit,
// ErrMalformed if the version has no such command, or the underlying writer's; nothing of a command that does not fit
// is written.
func (e *Writer) Write(c *Command) error {
	if err := e.encode(c); err != nil {
		return fmt.Errorf("writing send stream: command %v: %w", c.Op, err)
	}
	if _, err := e.w.Write(e.buf); err != nil {
		return fmt.Errorf("writing send stream: command %v: %w", c.Op, err)
	}
	e.started = c.Op != OpEnd
	return nil
}

// End writes the command that ends the stream.
func (e *Writer) End() error { return e.Write(&Command{Op: OpEnd}) }

// encode puts the bytes of the command into e.buf, behind the stream's header where it is the first.
func (e *Writer) encode(c *Command) error {
	l := layoutOf(c.Op)
	if l.name == "" || l.since > e.version {
		return fmt.Errorf("%w: version %d has no such command", ErrMalformed, e.version)
	}
	e.buf = e.buf[:0]
	if !e.started {
		e.buf = appendHeader(e.buf, e.version)
	}
	return e.command(l, c)
}

// command appends the bytes of the command to e.buf.
func (e *Writer) command(l layout, c *Command) error {
	start := len(e.buf)
	e.buf = append(e.buf, make([]byte, commandHeader)...)
	for _, a := range l.attrs {
		if a == 0 {
			break
		}
		if err := e.put(a, c); err != nil {
			return err
		}
	}
	b := e.buf[start:]
	limit := MaxCommand
	if e.version == 1 {
		limit = MaxCommandV1
	}
	if len(b) > limit {
		return fmt.Errorf("%w: %d bytes, limit %d", ErrTooLong, len(b), limit)
	}
	seal(b, c.Op, e.table)
	return nil
}

func appendHeader(b []byte, version int) []byte {
	b = append(b, magic...)
	return binary.LittleEndian.AppendUint32(b, uint32(version))
}

// seal fills in the header of the command b, whose checksum is still zero.
func seal(b []byte, op Op, table *crc32.Table) {
	binary.LittleEndian.PutUint32(b, uint32(len(b)-commandHeader))
	binary.LittleEndian.PutUint16(b[4:], uint16(op))
	binary.LittleEndian.PutUint32(b[6:], ^crc32.Update(^uint32(0), table, b))
}

// put appends one attribute.
func (e *Writer) put(a attr, c *Command) error {
	switch a {
	case aUUID:
		return e.bytes(a, c.UUID[:])
	case aCloneUUID:
		return e.bytes(a, c.CloneUUID[:])
	case aCtransid:
		return e.u64(a, c.Ctransid)
	case aIno:
		if c.Ino == 0 {
			return nil
		}
		return e.u64(a, c.Ino)
	case aSize:
		return e.u64(a, c.Size)
	case aMode:
		return e.u64(a, c.Mode)
	case aUID:
		return e.u64(a, c.UID)
	case aGID:
		return e.u64(a, c.GID)
	case aRdev:
		return e.u64(a, c.Rdev)
	case aCtime:
		return e.time(a, c.Ctime)
	case aMtime:
		return e.time(a, c.Mtime)
	case aAtime:
		return e.time(a, c.Atime)
	case aOtime:
		if e.version < 2 || c.Otime.IsZero() {
			return nil
		}
		return e.time(a, c.Otime)
	case aXattrName:
		return e.string(a, c.XattrName)
	case aXattrData:
		return e.bytes(a, c.Data)
	case aData:
		if e.version >= 2 {
			e.buf = binary.LittleEndian.AppendUint16(e.buf, uint16(a))
			e.buf = append(e.buf, c.Data...)
			return nil
		}
		return e.bytes(a, c.Data)
	case aPath:
		return e.string(a, c.Path)
	case aPathTo:
		return e.string(a, c.To)
	case aPathLink:
		return e.string(a, c.Link)
	case aClonePath:
		return e.string(a, c.ClonePath)
	case aFileOffset:
		return e.u64(a, c.FileOffset)
	case aCloneCtransid:
		return e.u64(a, c.CloneCtransid)
	case aCloneOffset:
		return e.u64(a, c.CloneOffset)
	case aCloneLen:
		return e.u64(a, c.CloneLen)
	case aFallocateMode:
		return e.u32(a, c.FallocateMode)
	case aFileAttr:
		return e.u64(a, c.FileAttr)
	case aUnencodedFileLen:
		return e.u64(a, c.UnencodedFileLen)
	case aUnencodedLen:
		return e.u64(a, c.UnencodedLen)
	case aUnencodedOffset:
		return e.u64(a, c.UnencodedOffset)
	case aCompression:
		return e.u32(a, uint32(c.Compression))
	case aEncryption:
		return e.u32(a, c.Encryption)
	case aVerityAlgorithm:
		return e.bytes(a, []byte{c.VerityAlgorithm})
	case aVerityBlockSize:
		return e.u32(a, c.VerityBlockSize)
	case aVeritySalt:
		return e.bytes(a, c.VeritySalt)
	case aVeritySignature:
		return e.bytes(a, c.VeritySignature)
	}
	return fmt.Errorf("%w: attribute %v has no field", ErrMalformed, a)
}

func (e *Writer) head(a attr, n int) error {
	if n > math.MaxUint16 {
		return fmt.Errorf("%w: attribute %v of %d bytes, limit %d", ErrTooLong, a, n, math.MaxUint16)
	}
	e.buf = binary.LittleEndian.AppendUint16(e.buf, uint16(a))
	e.buf = binary.LittleEndian.AppendUint16(e.buf, uint16(n))
	return nil
}

func (e *Writer) bytes(a attr, v []byte) error {
	if err := e.head(a, len(v)); err != nil {
		return err
	}
	e.buf = append(e.buf, v...)
	return nil
}

func (e *Writer) string(a attr, v string) error {
	if err := e.head(a, len(v)); err != nil {
		return err
	}
	e.buf = append(e.buf, v...)
	return nil
}

func (e *Writer) u64(a attr, v uint64) error {
	if err := e.head(a, 8); err != nil {
		return err
	}
	e.buf = binary.LittleEndian.AppendUint64(e.buf, v)
	return nil
}

func (e *Writer) u32(a attr, v uint32) error {
	if err := e.head(a, 4); err != nil {
		return err
	}
	e.buf = binary.LittleEndian.AppendUint32(e.buf, v)
	return nil
}

func (e *Writer) time(a attr, t time.Time) error {
	if err := e.head(a, 12); err != nil {
		return err
	}
	e.buf = binary.LittleEndian.AppendUint64(e.buf, uint64(t.Unix()))
	e.buf = binary.LittleEndian.AppendUint32(e.buf, uint32(t.Nanosecond()))
	return nil
}
