package imagestore

import (
	"errors"

	"griddle/imagestore/catalog"
	"griddle/imagestore/fetch"
)

// prevented says whether err tells of what kept the reader from looking, and nothing of the content: a full disk, a disk
// or a network that fails, missing rights. Content that is wrong or gone is something else.
func prevented(err error) bool {
	return fetch.SourceFailed(err) || errors.Is(err, catalog.ErrRefused) || errors.Is(err, ErrNoShelf)
}
