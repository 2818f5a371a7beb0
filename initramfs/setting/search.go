package setting

import (
	"bytes"
	"errors"
	"io"
)

// contains reports whether r has text in it, and reads no more than 64 KiB at a time.
func contains(r io.Reader, text []byte) (bool, error) {
	buf := make([]byte, 0, 64<<10)
	for {
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		switch {
		case bytes.Contains(buf, text):
			return true, nil
		case errors.Is(err, io.EOF):
			return false, nil
		case err != nil:
			return false, err
		}
		if keep := min(len(buf), len(text)-1); len(buf) == cap(buf) {
			copy(buf, buf[len(buf)-keep:])
			buf = buf[:keep]
		}
	}
}
