package fetch

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/url"
	"slices"

	"golang.org/x/sys/unix"

	"griddle/imagestore/blob"
)

// SourceFailed says whether an error of a blob.Reader is of the source and not of the content: a disk or a network
// that fails, a full disk, missing rights. It is false if the content is wrong or missing.
func SourceFailed(err error) bool {
	var errno unix.Errno
	if errors.As(err, &errno) && slices.Contains([]unix.Errno{unix.ENOSPC, unix.EDQUOT, unix.EIO, unix.EACCES,
		unix.EPERM, unix.EROFS, unix.EMFILE,
		unix.ENFILE, unix.ENOMEM, unix.ENODEV, unix.ENXIO, unix.ESTALE, unix.ENOTCONN, unix.EBUSY, unix.EOPNOTSUPP},
		errno) {
		return true
	}
	var network *net.OpError // not net.Error, which every Errno is
	var address *url.Error
	return errors.Is(err, fs.ErrPermission) || errors.As(err, &network) || errors.As(err, &address) ||
		errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, blob.ErrDenied) || errors.Is(err, blob.ErrServer) || errors.Is(err, blob.ErrStalled)
}
