package publish

import (
	"errors"

	"griddle/appliance/griddle/cli"
	"griddle/imagestore"
	"griddle/imagestore/catalog"
	"griddle/imagestore/source"
)

// Explain says what to do about an error of publishing. store is the directory of the store, or its server.
func Explain(err error, store string) error {
	var room *source.RoomError
	switch {
	case errors.Is(err, catalog.ErrExists):
		return cli.WithHint(err, "A version number is never used twice, even after the version was deleted. Give "+
			"another one, or none.")
	case errors.Is(err, imagestore.ErrEmpty):
		return cli.WithHint(err, "Check that SOURCE is right, or add --allow-empty to publish it.")
	case errors.Is(err, imagestore.ErrArch):
		return cli.WithHint(err, "Add the architecture to the image's name: web@arm64.")
	case errors.Is(err, source.ErrBusy):
		return cli.WithHint(err, "Wait until it ends, or give another version.")
	case errors.As(err, &room) && room.Spool:
		return cli.WithHint(err, "The copy is in %s. Set TMPDIR to a directory on another disk.", room.Dir)
	case errors.As(err, &room):
		return cli.WithHint(err, "The copy is in %s, on the disk of the source, and needs space there for "+
			"everything that changes in it.", room.Dir)
	case cli.NoRoom(err):
		return cli.WithHint(err, cli.StoreFull, store)
	case errors.Is(err, source.ErrChanged):
		return cli.WithHint(err, "Stop what writes there (lxc-stop or lxc-freeze for a container), and publish "+
			"again. This is not necessary on btrfs.")
	}
	return err
}
