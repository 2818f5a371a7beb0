package pool

import (
	"fmt"
	"os"
	"path/filepath"

	"griddle/initramfs/machinekey"
	"griddle/initramfs/sysroot"
)

// Persistent opens the folder griddle in @persistent of the pool whose top is at a path, and makes it if it is missing.
// All roots share what is in it.
func Persistent(top string) (*os.Root, error) {
	persistent, err := os.OpenRoot(filepath.Join(top, "@persistent"))
	if err != nil {
		return nil, fmt.Errorf("opening @persistent of the pool: %w", err)
	}
	defer persistent.Close()
	if err := (sysroot.Dir{Root: persistent}).MakeDir(machinekey.Folder, 0o755); err != nil {
		return nil, err
	}
	dir, err := persistent.OpenRoot(machinekey.Folder)
	if err != nil {
		return nil, fmt.Errorf("opening /%s of @persistent: %w", machinekey.Folder, err)
	}
	return dir, nil
}
