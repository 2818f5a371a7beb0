package sendstream

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// Appender appends commands of a version 1 stream in memory; the data of writes can be read directly into place. It
// makes the bytes that a Writer would write. It is for one goroutine.
type Appender struct {
	w Writer
}

// NewAppender returns an empty Appender.
func NewAppender() *Appender {
	return &Appender{Writer{version: 1, table: crc32.MakeTable(crc32.Castagnoli)}}
}

// Append adds a command to b, with the stream's header before OpSubvol and OpSnapshot. On an error, which is one of
// Writer.Write's, b is returned as it was.
func (a *Appender) Append(b []byte, c *Command) ([]byte, error) {
	l := layoutOf(c.Op)
	if l.name == "" || l.since > 1 {
		return b, fmt.Errorf("writing send stream: command %v: %w: version 1 has no such command", c.Op, ErrMalformed)
	}
	n := len(b)
	if c.Op == OpSubvol || c.Op == OpSnapshot {
		b = appendHeader(b, 1)
	}
	a.w.buf = b
	err := a.w.command(l, c)
	b, a.w.buf = a.w.buf, nil
	if err != nil {
		return b[:n], fmt.Errorf("writing send stream: command %v: %w", c.Op, err)
	}
	return b, nil
}

// WriteOverhead is how many bytes an OpWrite takes beside its data.
func WriteOverhead(path string) int {
	return commandHeader + 4 + len(path) + 4 + 8 + 4
}

// AppendWrite adds an OpWrite with n bytes of data, the last n bytes of the result, which the caller fills in before
// it calls Seal. ErrTooLong, wrapped, if path and data do not fit into one command.
func (a *Appender) AppendWrite(b []byte, path string, offset uint64, n int) ([]byte, error) {
	if size := WriteOverhead(path) + n; size > MaxCommandV1 || n < 0 {
		return b, fmt.Errorf("writing send stream: command %v: %w: %d bytes, limit %d", OpWrite,
			ErrTooLong, size, MaxCommandV1)
	}
	b = append(b, make([]byte, commandHeader)...)
	b = binary.LittleEndian.AppendUint16(b, uint16(aPath))
	b = binary.LittleEndian.AppendUint16(b, uint16(len(path)))
	b = append(b, path...)
	b = binary.LittleEndian.AppendUint16(b, uint16(aFileOffset))
	b = binary.LittleEndian.AppendUint16(b, 8)
	b = binary.LittleEndian.AppendUint64(b, offset)
	b = binary.LittleEndian.AppendUint16(b, uint16(aData))
	b = binary.LittleEndian.AppendUint16(b, uint16(n))
	if cap(b)-len(b) >= n {
		b = b[:len(b)+n] // all of it is about to be written over
	} else {
		b = append(b, make([]byte, n)...)
	}
	return b, nil
}

// Seal writes the header of the OpWrite command b after its data were filled in.
func (a *Appender) Seal(b []byte) { seal(b, OpWrite, a.w.table) }
