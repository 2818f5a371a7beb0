package install

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"griddle/imagestore/head"
	"griddle/initramfs/machinekey"
	"griddle/initramfs/pool"
	"griddle/initramfs/resident/contact"
	"griddle/initramfs/subvolume"
)

// SeenDir is the folder below /persistent with the newest head of the site's catalog, in the form of
// imagestore.SeenDir.
const SeenDir = machinekey.Folder + "/seen"

// persistent makes @persistent in the pool, if it is missing, and leaves the key and the head there. That comes first
// on a new pool: after a power cut the next boot finds the key, and proves itself by it.
func (w *work) persistent(top string) error {
	if _, err := os.Lstat(filepath.Join(top, "@persistent")); errors.Is(err, fs.ErrNotExist) {
		if err := subvolume.Create(top, "@persistent"); err != nil {
			return err
		}
	}
	dir, err := pool.Persistent(top)
	if err != nil {
		return err
	}
	defer dir.Close()
	// An install is what is left to a machine whose site lost its newest catalog.
	if err := contact.KeepHead(dir, w.o.Seen); err != nil && !errors.Is(err, head.ErrRollback) {
		return err
	}
	if w.o.Key.PrivateKey == nil {
		return nil
	}
	if err := machinekey.Keep(dir, w.o.Key); err != nil {
		return err
	}
	return subvolume.Sync(top) // the subvolume too, which an fsync in it does not make durable
}
