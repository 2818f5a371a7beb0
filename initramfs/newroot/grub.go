package newroot

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"griddle/initramfs/bootloader"
	"griddle/initramfs/bootloader/arguments"
	"griddle/initramfs/pool/reset/unit"
)

// unproved takes away what says that the root proved itself, or is a base: an image may be made of a root that did.
func (m *making) unproved() error {
	for _, marker := range []string{bootloader.Marker, bootloader.BaseMarker, unit.KeepFile} {
		if err := m.RemoveAll(marker); err != nil {
			return fmt.Errorf("removing /%s: %w", marker, err)
		}
	}
	return nil
}

// arguments leaves the kernel arguments of the root. An image may be made of a root that has some.
func (m *making) arguments() error {
	if m.Arguments == nil {
		return arguments.Remove(m.Dir)
	}
	return arguments.Write(m.Dir, *m.Arguments)
}

// keepGRUB copies GRUB's files into the system, at the place where the boot image has them: with them the installed
// agent installs the bootloader again. A system of before they were kept has none to hand over.
func (m *making) keepGRUB() error {
	if m.Agent == "" {
		return nil
	}
	for _, name := range []string{bootloader.BootImage, bootloader.CoreImage, bootloader.EFIImage} {
		f, err := os.Open(filepath.Join(m.GRUB, name))
		if m.Carry != nil && errors.Is(err, fs.ErrNotExist) {
			m.warn("copying GRUB: %v; `griddle-agent maintain bootloader` will not work", err)
			return nil
		}
		if err != nil {
			return fmt.Errorf("copying GRUB: %w", err)
		}
		defer f.Close()
		if err := m.Copy(path.Join(strings.TrimPrefix(bootloader.Images, "/"), name), f, 0o644); err != nil {
			return err
		}
	}
	return nil
}
