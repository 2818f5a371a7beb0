package sendstream

import (
	"errors"
	"fmt"
	"strings"
)

// ErrPath is what CheckPath wraps.
var ErrPath = errors.New("path leads out of the subvolume")

// CheckPath checks by its text that a path of a command stays below the subvolume: "" is the root,
// and all others are names separated by single slashes. An absolute path, a part that is empty, "." or "..", and a
// NUL byte give ErrPath, wrapped. Where symbolic links lead, only the file system knows.
func CheckPath(p string) error {
	if p == "" {
		return nil
	}
	if strings.IndexByte(p, 0) >= 0 {
		return fmt.Errorf("%w: %q", ErrPath, p)
	}
	for rest, more := p, true; more; {
		var part string
		part, rest, more = strings.Cut(rest, "/")
		if part == "" || part == "." || part == ".." {
			return fmt.Errorf("%w: %q", ErrPath, p)
		}
	}
	return nil
}
