package chroot

import (
	"bytes"
	"fmt"
	"io"
	"strings"
)

// output cuts what a program prints into lines.
type output struct {
	line  func(string)
	limit int // lines that line gets

	begun   []byte // of a line whose end has not come yet, at most MaxLine bytes
	lines   int
	dropped int
	last    [lastSize][]byte // a ring
}

// read reads r to its end.
func (o *output) read(r io.Reader) {
	buf := make([]byte, 64<<10)
	for {
		n, err := r.Read(buf)
		o.add(buf[:n])
		if err != nil {
			break
		}
	}
	o.end()
	if o.dropped > 0 && o.line != nil {
		o.line(fmt.Sprintf("(%d more lines are not shown)", o.dropped))
	}
}

func (o *output) add(b []byte) {
	for len(b) > 0 {
		i := bytes.IndexByte(b, '\n')
		part := b
		if i >= 0 {
			part = b[:i]
		}
		o.begun = append(o.begun, part[:min(len(part), MaxLine-len(o.begun))]...)
		if i < 0 {
			return
		}
		o.end()
		b = b[i+1:]
	}
}

// end delivers a line. Of one that was drawn several times, such as a progress bar, it is what was drawn last.
func (o *output) end() {
	b := bytes.TrimSpace(o.begun)
	b = b[bytes.LastIndexByte(b, '\r')+1:]
	o.begun = o.begun[:0]
	if len(b) == 0 {
		return
	}
	at := &o.last[o.lines%lastSize]
	*at = append((*at)[:0], b...)
	o.lines++
	switch {
	case o.line == nil:
	case o.lines > o.limit:
		o.dropped++
	default:
		o.line(string(b))
	}
}

// tail is the last lines.
func (o *output) tail() (lines []string) {
	for i := max(0, o.lines-lastSize); i < o.lines; i++ {
		lines = append(lines, strings.ToValidUTF8(string(o.last[i%lastSize]), "?"))
	}
	return lines
}
