package content

import (
	"bufio"
	"encoding/base64"
	"encoding/hex"
	"io"
	"strconv"
)

// header is the first line of every manifest of this version.
const header = "griddle-content 1"

// WriteTo writes the manifest in its only form. The entries must be valid and in order, as Parse and Builder return
// them.
func (m *Manifest) WriteTo(w io.Writer) (int64, error) {
	bw := bufio.NewWriterSize(w, 1<<16)
	n := int64(len(header) + 1)
	bw.WriteString(header + "\n") // a bufio.Writer keeps the first error for Flush
	var line []byte
	for i := range m.Entries {
		line = append(m.Entries[i].appendLine(line[:0]), '\n')
		n += int64(len(line))
		bw.Write(line)
	}
	if err := bw.Flush(); err != nil {
		return 0, err
	}
	return n, nil
}

// appendLine adds the entry's line to b, without its newline.
func (e *Entry) appendLine(b []byte) []byte {
	b = append(b, byte(e.Type), ' ')
	b = appendEscaped(b, e.Path)
	if e.Type == HardLink {
		b = append(b, " to="...)
		return appendEscaped(b, e.Target)
	}
	b = append(b, ' ', '0'+byte(e.Mode>>9&7), '0'+byte(e.Mode>>6&7), '0'+byte(e.Mode>>3&7), '0'+byte(e.Mode&7), ' ')
	b = strconv.AppendUint(b, uint64(e.UID), 10)
	b = append(b, ' ')
	b = strconv.AppendUint(b, uint64(e.GID), 10)
	b = append(b, ' ')
	b = e.Mtime.append(b)
	switch e.Type {
	case Regular:
		b = append(b, " size="...)
		b = strconv.AppendInt(b, e.Size, 10)
		b = append(b, " sha256="...)
		b = hex.AppendEncode(b, e.SHA256[:])
	case Symlink:
		b = append(b, " to="...)
		b = appendEscaped(b, e.Target)
	case BlockDevice, CharDevice:
		b = append(b, " dev="...)
		b = strconv.AppendUint(b, uint64(e.Major), 10)
		b = append(b, ':')
		b = strconv.AppendUint(b, uint64(e.Minor), 10)
	}
	for _, x := range e.Xattrs {
		b = append(b, " x:"...)
		b = appendEscaped(b, x.Name)
		b = append(b, '=')
		b = base64.StdEncoding.AppendEncode(b, x.Value)
	}
	return b
}

func (t Time) append(b []byte) []byte {
	b = strconv.AppendInt(b, t.Sec, 10)
	b = append(b, '.')
	ns := strconv.Itoa(int(t.Nsec))
	for range 9 - len(ns) {
		b = append(b, '0')
	}
	return append(b, ns...)
}

func (t Time) String() string { return string(t.append(nil)) }

// appendEscaped adds s with all but plain printable ASCII as \xHH.
func appendEscaped(b []byte, s string) []byte {
	const digits = "0123456789abcdef"
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c <= 0x20 || c >= 0x7f || c == '\\' || c == '=' {
			b = append(b, '\\', 'x', digits[c>>4], digits[c&15])
			continue
		}
		b = append(b, c)
	}
	return b
}

func escape(s string) string { return string(appendEscaped(nil, s)) }
