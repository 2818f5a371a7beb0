package install

import (
	"fmt"
	"os"
	"path"

	"griddle/initramfs/sysroot"
)

// SeenDir is the folder below /persistent with the newest head of the site's catalog, in the form of
// imagestore.SeenDir.
const SeenDir = "griddle/seen"

// writeSeen writes Options.Seen to the new, empty subvolume. It is durable when the pool is unmounted.
func (w *work) writeSeen(persistent string) error {
	if w.o.Seen.Key == "" {
		return nil
	}
	name, b, err := w.o.Seen.File()
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(persistent)
	if err != nil {
		return fmt.Errorf("opening @persistent: %w", err)
	}
	defer root.Close()
	sys := system{sysroot.Dir{Root: root}}
	if err := sys.MakeDir(SeenDir, 0o755); err != nil {
		return err
	}
	return sys.Write(path.Join(SeenDir, name), b, 0o644)
}
