package install

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"griddle/initramfs/machinekey"
	"griddle/initramfs/subvolume"
	"griddle/initramfs/sysroot"
)

// SeenDir is the folder below /persistent with the newest head of the site's catalog, in the form of
// imagestore.SeenDir.
const SeenDir = machinekey.Folder + "/seen"

// persistent makes @persistent in the pool, if it is missing, and leaves the key and the head there. That comes first
// on a new pool: after a power cut the next boot finds the key, and proves itself by it.
func (w *work) persistent(pool string) error {
	if _, err := os.Lstat(filepath.Join(pool, "@persistent")); errors.Is(err, fs.ErrNotExist) {
		if err := subvolume.Create(pool, "@persistent"); err != nil {
			return err
		}
	}
	root, err := os.OpenRoot(filepath.Join(pool, "@persistent"))
	if err != nil {
		return fmt.Errorf("opening @persistent: %w", err)
	}
	defer root.Close()
	sys := sysroot.Dir{Root: root}
	if err := sys.MakeDir(machinekey.Folder, 0o755); err != nil {
		return err
	}
	if w.o.Seen.Key != "" {
		name, b, err := w.o.Seen.File()
		if err != nil {
			return err
		}
		if err := sys.MakeDir(SeenDir, 0o755); err != nil {
			return err
		}
		if err := sys.Write(path.Join(SeenDir, name), b, 0o644); err != nil {
			return err
		}
	}
	if w.o.Key.PrivateKey == nil {
		return nil
	}
	dir, err := root.OpenRoot(machinekey.Folder)
	if err != nil {
		return fmt.Errorf("opening /%s of @persistent: %w", machinekey.Folder, err)
	}
	defer dir.Close()
	if err := machinekey.Keep(dir, w.o.Key); err != nil {
		return err
	}
	return subvolume.Sync(pool) // the subvolume too, which an fsync in it does not make durable
}
