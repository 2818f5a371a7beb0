package diskimage

import (
	"bytes"
	"strconv"
)

// converted reads the progress of qemu-img: "    (12.34/100%)\r", again and again.
type converted struct {
	size     int64 // of the disk that is converted, in bytes
	progress Bytes
	rest     []byte // that has no end yet
}

// Write implements io.Writer.
func (c *converted) Write(b []byte) (int, error) {
	c.rest = append(c.rest, b...)
	for {
		line, rest, ended := bytes.Cut(c.rest, []byte("\r"))
		if !ended {
			c.rest = c.rest[max(0, len(c.rest)-64):]
			return len(b), nil
		}
		c.rest = rest
		text, of, found := bytes.Cut(bytes.TrimSpace(line), []byte("/"))
		percent, err := strconv.ParseFloat(string(bytes.TrimPrefix(text, []byte("("))), 64)
		if found && string(of) == "100%)" && err == nil && percent >= 0 && percent <= 100 {
			c.progress.report("converting", int64(percent/100*float64(c.size)), c.size)
		}
	}
}
