package setting

import (
	"bytes"
	"errors"
	"io"
	"strings"
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

// linesOf are the lines of a file, without their ends.
func linesOf(b []byte) []string {
	var out []string
	for line := range strings.Lines(string(b)) {
		out = append(out, strings.TrimSuffix(line, "\n"))
	}
	return out
}

// endLine is text whose last line has an end.
func endLine(s string) string {
	if s == "" || strings.HasSuffix(s, "\n") {
		return s
	}
	return s + "\n"
}

// The marks of a block in a file of the image. All between them is replaced.
const (
	blockBegin = "# Begin of the settings of Griddle"
	blockEnd   = "# End of the settings of Griddle"
)

// withoutBlock is a file without the block.
func withoutBlock(b []byte) string {
	var out strings.Builder
	inside := false
	for line := range strings.Lines(string(b)) {
		switch strings.TrimSuffix(line, "\n") {
		case blockBegin:
			inside = true
			continue
		case blockEnd:
			inside = false
			continue
		}
		if !inside {
			out.WriteString(line)
		}
	}
	return out.String()
}

// block is text between the marks; text ends its last line.
func block(text string) string { return blockBegin + "\n" + text + blockEnd + "\n" }

// insideBlock is what is between the marks of a block.
func insideBlock(b []byte) []byte {
	_, rest, _ := strings.Cut(string(b), blockBegin+"\n")
	text, _, ok := strings.Cut(rest, blockEnd+"\n")
	if !ok {
		return nil
	}
	return []byte(text)
}
