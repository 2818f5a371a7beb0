package former

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"griddle/imagestore/durable"
	"griddle/initramfs/bootloader"
)

// Restore gives the machine back what Save kept in dir, and says what it did. In this order, each durable before the
// next: the boot entries and their order, the code in the boot record, files that the EFI system partition has no
// longer, and then GRUB and its configuration are removed. The partition table and files that others have changed stay
// as they are now: they may be newer than the copy, such as those of a Windows that was updated.
func Restore(dir string, m Machine) (done []string, err error) {
	fail := func(err error) ([]string, error) {
		return done, fmt.Errorf("restoring what the machine started by: %w", err)
	}
	k, err := read(dir)
	if err != nil {
		return fail(err)
	}
	if m.Vars != nil && k.NVRAM != nil {
		if err := m.Vars.Restore(*k.NVRAM, bootloader.Loader); err != nil {
			return fail(err)
		}
		done = append(done, "the boot entries of the firmware")
	}
	if m.Disk != nil && k.Record != nil {
		if err := bootloader.RemoveBIOS(m.Disk, m.BIOS, k.Record); err != nil {
			return fail(err)
		}
		done = append(done, "the boot record")
	}
	if m.ESP == "" {
		return done, nil
	}
	for _, f := range k.Files {
		restored, err := f.restore(dir, m.ESP)
		if err != nil {
			return fail(fmt.Errorf("%s of the EFI system partition: %w", f.Path, err))
		}
		if restored {
			done = append(done, f.Path+" of the EFI system partition")
		}
	}
	if err := remove(m.ESP, k.Files); err != nil {
		return fail(err)
	}
	return done, nil
}

// restore writes a file that the partition has no longer, or that has Griddle's image in its place.
func (f file) restore(dir, esp string) (bool, error) {
	to := filepath.Join(esp, filepath.FromSlash(f.Path))
	switch _, err := os.Lstat(to); {
	case err == nil:
		if griddles, err := bootloader.IsImage(to); err != nil || !griddles {
			return false, err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return false, err
	}
	b, err := f.load(dir)
	if err != nil {
		return false, err
	}
	if old, err := os.ReadFile(to); err == nil && string(old) == string(b) {
		return false, nil
	}
	var d durable.Disk
	if err := d.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return false, err
	}
	return true, d.Replace(to, b, 0o644)
}

// remove removes GRUB from the partition: our folders, and the image for firmware without boot entries if that is ours
// and was not there before.
func remove(esp string, files []file) error {
	fallback := filepath.Join(esp, filepath.FromSlash(bootloader.Fallback))
	had := false
	for _, f := range files {
		had = had || strings.EqualFold(f.Path, bootloader.Fallback)
	}
	griddles, err := bootloader.IsImage(fallback)
	if err == nil && griddles && !had {
		err = os.Remove(fallback)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, dir := range own {
		if err := os.RemoveAll(filepath.Join(esp, filepath.FromSlash(dir))); err != nil {
			return err
		}
	}
	return syncAll(esp)
}
