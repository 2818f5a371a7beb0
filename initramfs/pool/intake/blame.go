package intake

import (
	"errors"

	"griddle/imagestore/blob"

	"golang.org/x/sys/unix"
)

// OfParent says of an error of a delta whether the image that it starts from may be why. A source that lacks the delta,
// or has other bytes, and a full disk are other reasons.
func OfParent(err error) bool {
	for _, other := range []error{blob.ErrMismatch, blob.ErrRange, blob.ErrNotExist, blob.ErrTooLong, blob.ErrDenied,
		unix.ENOSPC, unix.EDQUOT, unix.EROFS, unix.ENOMEM} {
		if errors.Is(err, other) {
			return false
		}
	}
	return true
}
