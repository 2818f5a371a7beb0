package bootcopy

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"griddle/imagestore/durable"
	"griddle/initramfs/bootloader/bootenv"
)

// Starts says whether GRUB has a whole copy of a kernel that the root keeps, with its modules: one of its files, and
// not that of Root.Removed. An error counts as no.
func Starts(top string, r Root) bool {
	c := copies{top: top}
	n, _, err := c.numbers(filepath.Join(top, r.Name))
	if err != nil || n == 0 {
		return false
	}
	root, err := os.OpenRoot(r.Dir)
	if err != nil {
		return false
	}
	defer root.Close()
	has, err := read(c.copy(r.Name, n))
	if err != nil {
		return false
	}
	kernels, err := fs.Glob(root.FS(), "boot/vmlinuz-*")
	if err != nil {
		return false
	}
	gone, _ := root.Stat("boot/vmlinuz-" + r.Removed)
	for _, name := range append(kernels, kernelFile) {
		st, err := root.Stat(name)
		if err != nil || st.Size() != has[kernelFile].size || r.Removed != "" && os.SameFile(st, gone) {
			continue
		}
		if f, err := summed(root, name); err == nil && f.digest == has[kernelFile].digest {
			return true
		}
	}
	return false
}

// Copy is the folder of the copy of a root that GRUB takes: it has the files of bootloader.Boot. The error is
// fs.ErrNotExist if there is none.
func Copy(top, root string) (string, error) {
	c := copies{top: top}
	n, _, err := c.numbers(filepath.Join(top, root))
	if err == nil && n == 0 {
		err = &fs.PathError{Op: "open", Path: filepath.Join(top, root), Err: fs.ErrNotExist}
	}
	if err != nil {
		return "", err
	}
	return c.copy(root, n), nil
}

// Remove removes the copies of roots, which GRUB does not find from then on. No grubenv names them. It is durable on
// return; a copy that is missing is not an error.
func Remove(top string, roots ...string) error { return remove(durable.Disk{}, top, roots) }

func remove(d durable.Disk, top string, roots []string) error {
	c := copies{d: d, top: top}
	var errs error
	for _, name := range roots {
		if bootenv.CheckName(name) != nil {
			continue // it is never copied
		}
		dir := filepath.Join(top, name)
		errs = errors.Join(errs, c.first(dir), c.remove(dir))
	}
	return errors.Join(errs, d.SyncDir(top))
}

// first removes the copies of a root but the one that counts: as long as that is there GRUB takes no older one.
func (c *copies) first(dir string) error {
	newest, all, err := c.numbers(dir)
	if err != nil {
		return err
	}
	for _, name := range all {
		if name != strconv.Itoa(newest) {
			if err := c.remove(filepath.Join(dir, name)); err != nil {
				return err
			}
		}
	}
	return nil
}
