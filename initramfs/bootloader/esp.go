package bootloader

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"griddle/imagestore/durable"
	"griddle/initramfs/bootloader/bootenv"
)

// The UEFI image on an EFI system partition. Fallback is what firmware starts from a disk without a boot entry (UEFI
// 2.10 section 3.5.1.1). Loader is in our own folder: a boot entry names it (package nvram).
const (
	Fallback = "EFI/BOOT/BOOTX64.EFI"
	Loader   = "EFI/griddle/grubx64.efi"
)

// ours is in each UEFI image that BuildGRUB made: the last line that GRUB runs first.
const ours = "set prefix=($root)/" + bootenv.Folder + "\n"

// InstallESP writes the UEFI image, grub.cfg and grubenv to the EFI system partition mounted at dir. It writes each
// file under a temporary name, syncs and renames it. grub.cfg is the last one: everything that it needs is durable
// before. An existing grubenv is kept, if it is whole; else Config.Root is the good root.
//
// On a partition of our own the image is Fallback. No boot variable is needed, so a disk also boots if it is moved to
// another machine or was installed on BIOS.
//
// On a shared partition (Config.ESPID) the image is Loader, and Fallback too if there is none or if the one that is
// there is Griddle's. No file of others is changed: a boot entry has to name Loader then. Where GRUB finds grub.cfg
// and grubenv is the same on both.
//
// A partition without room for all files is ErrFull, and nothing was written. Files that are as they should be are not
// written again.
func InstallESP(dir string, images fs.FS, c Config) error {
	return installESP(durable.Disk{}, dir, images, c)
}

func installESP(d durable.Disk, dir string, images fs.FS, c Config) error {
	cfg, err := c.Render()
	if err != nil {
		return err
	}
	if c.Shared && c.ESPID == "" {
		return errors.New("installing GRUB for UEFI: the EFI system partition is shared with other systems, and its " +
			"UUID is missing; nothing was written")
	}
	efi, err := c.image(images)
	if err != nil {
		return fmt.Errorf("installing GRUB for UEFI: %w", err)
	}
	var files []file
	if c.ESPID != "" {
		files = append(files, file{Loader, efi})
	}
	own, err := c.ESPID == "", error(nil)
	if !own {
		if own, err = free(filepath.Join(dir, Fallback)); err != nil {
			return fmt.Errorf("installing GRUB for UEFI: %w", err)
		}
	}
	if own {
		files = append(files, file{Fallback, efi})
	}
	files = append(files, file{"griddle/grub.cfg", cfg})
	if err := os.MkdirAll(dir, 0o755); err != nil { // a folder for a disk image may not be there yet
		return fmt.Errorf("installing GRUB for UEFI: %w", err)
	}
	if err := room(dir, append(files, newEnv(dir)...)); err != nil {
		return fmt.Errorf("installing GRUB for UEFI: %w", err)
	}
	if err := installEnv(dir, c); err != nil {
		return fmt.Errorf("installing GRUB for UEFI: %w", err)
	}
	for _, f := range files {
		if err := f.write(d, dir); err != nil {
			return fmt.Errorf("installing GRUB: writing %s: %w", f.name, err)
		}
	}
	return nil
}

// image is the UEFI image for this partition. The configuration that is embedded in the image is plain text in its
// modules; an EFI image has no checksum over it.
func (c Config) image(images fs.FS) ([]byte, error) {
	efi, err := fs.ReadFile(images, EFIImage)
	if err != nil {
		return nil, err
	}
	if n := bytes.Count(efi, []byte(anyESP)); n != 1 || !bytes.Contains(efi, []byte(byLabel+anyESP)) {
		return nil, fmt.Errorf("%s names its partition %d times, want once: run `make boot`", EFIImage, n)
	}
	search := byLabel + c.ESP
	if c.ESPID != "" {
		search = fmt.Sprintf("%-*s", len(byLabel)+len(anyESP), byUUID+c.ESPID)
	}
	return bytes.Replace(efi, []byte(byLabel+anyESP), []byte(search), 1), nil
}

// free says whether a UEFI image at this path is ours to write: there is none, or it is one of Griddle.
func free(path string) (bool, error) {
	own, err := IsImage(path)
	return own || errors.Is(err, fs.ErrNotExist), ignore(err, fs.ErrNotExist)
}

// IsImage says whether the file at path is a UEFI image of Griddle, of any version.
func IsImage(path string) (bool, error) {
	b, err := load(path, maxImage)
	return err == nil && bytes.Contains(b, []byte(ours)), err
}

// ignore is err, or nil if that is of this kind.
func ignore(err, kind error) error {
	if errors.Is(err, kind) {
		return nil
	}
	return err
}

// maxImage is the size of the largest UEFI image that is looked at, in bytes; ours is smaller.
const maxImage = 16 << 20

// newEnv are files as large as those that installEnv makes. One of the right size is written in its place.
func newEnv(dir string) []file {
	var out []file
	for _, name := range bootenv.Names {
		f := file{bootenv.Folder + "/" + name, bootenv.Empty()}
		if st, err := os.Lstat(filepath.Join(dir, f.name)); err != nil || st.Size() != bootenv.Size {
			out = append(out, f)
		}
	}
	return out
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
	env := file{bootenv.Folder + "/" + bootenv.Names[0], bootenv.Empty()}
	if _, err := load(filepath.Join(dir, env.name), bootenv.Size); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return env.write(durable.Disk{}, dir)
}
