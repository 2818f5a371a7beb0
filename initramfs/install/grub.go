package install

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"griddle/initramfs/bootloader"
)

// keepGRUB copies GRUB's files into the system, at the place where the boot image has them: with them the installed
// agent installs the bootloader again.
func (w *work) keepGRUB(sys system) error {
	if w.o.Agent == "" {
		return nil
	}
	for _, name := range []string{bootloader.BootImage, bootloader.CoreImage, bootloader.EFIImage} {
		f, err := os.Open(filepath.Join(w.o.GRUB, name))
		if err != nil {
			return fmt.Errorf("copying GRUB: %w", err)
		}
		defer f.Close()
		if err := sys.Copy(path.Join(strings.TrimPrefix(bootloader.Images, "/"), name), f, 0o644); err != nil {
			return err
		}
	}
	return nil
}
