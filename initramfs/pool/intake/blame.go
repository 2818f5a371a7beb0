package intake

import (
	"errors"

	"griddle/imagestore/blob"
	"griddle/imagestore/fetch"

	"golang.org/x/sys/unix"
)

// OfParent says of an error of a delta whether the image that it starts from may be why. A source that lacks the delta,
// or has other bytes, one that fails, and a full disk are other reasons. A disk that cannot read is one of the image.
func OfParent(err error) bool {
	for _, other := range []error{blob.ErrMismatch, blob.ErrRange, blob.ErrNotExist, blob.ErrTooLong} {
		if errors.Is(err, other) {
			return false
		}
	}
	return errors.Is(err, unix.EIO) || !fetch.SourceFailed(err)
}
