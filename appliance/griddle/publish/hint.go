package publish

import (
	"errors"

	"griddle/appliance/griddle/cli"
	"griddle/imagestore"
	"griddle/imagestore/source"
)

// Explain says what to do about the errors that a person meets. store is the directory of the store, or its server.
func Explain(err error, store string) error {
	var room *source.RoomError
	switch {
	case errors.Is(err, imagestore.ErrExists):
		return cli.WithHint(err, "Versions are never used twice, deleted ones included: name another, or none.")
	case errors.Is(err, imagestore.ErrEmpty):
		return cli.WithHint(err, "Look whether SOURCE is the right one; --allow-empty publishes it all the same.")
	case errors.Is(err, imagestore.ErrArch):
		return cli.WithHint(err, "Say for which machines it is behind the image's name: web@arm64.")
	case errors.Is(err, source.ErrBusy):
		return cli.WithHint(err, "Wait for it, or name another version.")
	case errors.As(err, &room) && room.Spool:
		return cli.WithHint(err, "The copy lies in %s: set TMPDIR to a directory on another disk.", room.Dir)
	case errors.As(err, &room):
		return cli.WithHint(err, "The copy lies in %s, on the disk of the source: it needs room there for what changes in it.", room.Dir)
	case cli.NoRoom(err):
		return cli.WithHint(err, cli.StoreFull, store)
	case errors.Is(err, source.ErrChanged):
		return cli.WithHint(err, "Stop what writes there, lxc-stop or lxc-freeze for a container, and publish again; on btrfs there is no need to.")
	}
	return err
}
