package intake

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"testing"

	"golang.org/x/sys/unix"

	"griddle/imagestore/blob"
	"griddle/imagestore/encoding"
)

// Only what the image in the pool may have done is blamed on it: it would be distrusted for ever.
func TestOfParent(t *testing.T) {
	for err, want := range map[error]bool{
		blob.ErrMismatch:         false,
		blob.ErrNotExist:         false,
		blob.ErrServer:           false,
		blob.ErrStalled:          false,
		blob.ErrDenied:           false,
		context.DeadlineExceeded: false,
		unix.ENOSPC:              false,
		unix.EDQUOT:              false,
		unix.EROFS:               false,
		unix.ENOMEM:              false,
		&net.OpError{Op: "read", Err: unix.ECONNRESET}:                        false,
		&url.Error{Op: "Get", URL: "https://x", Err: errors.New("no answer")}: false,
		unix.EIO:                      true, // btrfs finds a wrong checksum
		unix.ENOENT:                   true,
		encoding.ErrNeedsParent:       true,
		errors.New("a file is other"): true,
	} {
		if got := OfParent(fmt.Errorf("receiving: %w", err)); got != want {
			t.Errorf("OfParent(%v) = %v, want %v", err, got, want)
		}
	}
}
