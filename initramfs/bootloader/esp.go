package bootloader

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"griddle/initramfs/bootloader/bootenv"
)

// InstallESP writes the UEFI image, grub.cfg and grubenv to the EFI system partition mounted at dir. It writes each
// file under a temporary name, syncs and renames it. grub.cfg is the last one: everything that it needs is durable
// before. An existing grubenv is kept, if it is whole; else Config.Root is the good root.
//
// The image has the path that firmware tries by default, EFI/BOOT/BOOTX64.EFI. No boot variable is written, so a disk
// also boots if it is moved to another machine or was installed on BIOS.
func InstallESP(dir string, images fs.FS, c Config) error {
	cfg, err := c.Render()
	if err != nil {
		return err
	}
	efi, err := fs.ReadFile(images, EFIImage)
	if err != nil {
		return fmt.Errorf("installing GRUB for UEFI: %w", err)
	}
	// The configuration that is embedded in the image is plain text in its modules; an EFI image
	// bears no checksum over it.
	if n := bytes.Count(efi, []byte(anyESP)); n != 1 {
		return fmt.Errorf("installing GRUB for UEFI: %s names its partition %d times, want once: run `make boot`",
			EFIImage, n)
	}
	efi = bytes.Replace(efi, []byte(anyESP), []byte(c.ESP), 1)
	if err := installEnv(dir, c); err != nil {
		return fmt.Errorf("installing GRUB for UEFI: %w", err)
	}
	if err := writeDurable(filepath.Join(dir, "EFI", "BOOT", "BOOTX64.EFI"), efi); err != nil {
		return fmt.Errorf("installing GRUB for UEFI: %w", err)
	}
	if err := writeDurable(filepath.Join(dir, "griddle", "grub.cfg"), cfg); err != nil {
		return fmt.Errorf("writing grub.cfg: %w", err)
	}
	return nil
}

// installEnv writes grubenv, if there is none that is whole: for a pool the one by which its root boots.
func installEnv(dir string, c Config) error {
	if !c.Flat {
		e, err := bootenv.Read(dir)
		if errors.Is(err, bootenv.ErrDamaged) {
			e, err = bootenv.Env{Good: strings.TrimPrefix(c.Root, Roots+"/")}, nil
		}
		if err != nil {
			return err
		}
		return bootenv.Write(dir, e) // both copies
	}
	env := filepath.Join(dir, bootenv.Folder, bootenv.Names[0])
	if _, err := os.Stat(env); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return writeDurable(env, bootenv.Empty())
}

// writeDurable is as good as vfat lets it be: the rename is not atomic against a power cut there, but at no time
// does a half-written file bear the name.
func writeDurable(path string, data []byte) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	tmp := path + ".new"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		os.Remove(tmp)
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
