// Package bootcopy keeps copies of what GRUB reads of each root, in the partition for kernels beside an encrypted pool.
//
// Call Update with the top of that partition and the roots of the pool, before a root is started for the first time,
// and whenever a kernel, an initrd, a marker or the arguments of a root changed. Call Remove before a root is deleted.
// Where Update failed, Starts says whether GRUB starts the root nevertheless.
//
//	/NAME/N/initrd.img, …   copy number N of what GRUB reads of the root NAME; bootloader.Boot lists its files
//	/NAME/N/vmlinuz         comes last: a copy without it does not count, and of several the largest N does
//
// # What it guarantees
//
// GRUB finds the copy of before or the new one, each as a whole, whatever moment the power fails at: a new copy gets a
// number of its own, all of it is durable before its kernel gets its name, and the former copy is removed when that
// name is durable. All of it is durable on return. The next Update removes what a power cut left.
//
// A file is read back after it is durable, and its SHA-256 compared with that of the root's file. Files that are equal
// in several copies take their room once: they are links of each other. Room is checked before a copy is begun: old and
// new are there at the same time.
//
// Folders of roots that do not exist are removed. A root in which no kernel with an initrd is found now keeps the copy
// that it has: a package may be half unpacked.
//
// A root may be hostile: its files are opened within it, and symlinks do not lead out of it. What is in the partition
// may be too: no symlink in it is followed.
package bootcopy

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"griddle/imagestore/durable"
	"griddle/initramfs/bootloader/bootenv"
)

// Errors of one root.
var (
	ErrRoom     = errors.New("the partition for kernels has too little room")
	ErrNoInitrd = errors.New("it has no kernel with an initrd, without which an encrypted pool is not opened")
)

// Root is a root of the pool.
type Root struct {
	Name string
	Dir  string // the folder with its files

	// Removed is the version of a kernel that is about to be removed from the root: another one is copied. "" for none.
	Removed string
	// Check is asked before an initrd is copied that no copy has; its path is relative to Dir. Where it fails, the copy
	// of before stays. nil takes each.
	Check func(initrd string) error
}

// The names of kernel and initrd in a copy.
const kernelFile, initrdFile = "vmlinuz", "initrd.img"

// Update makes the copies in the folder top those of roots, which are all that the pool has, and gives room to them in
// their order. failed has why a root has no copy of now; it may have one of before. The error is one of all copies:
// then GRUB still finds those of before, or new ones.
func Update(top string, roots []Root) (failed map[string]error, err error) {
	return update(durable.Disk{}, top, roots)
}

func update(d durable.Disk, top string, roots []Root) (failed map[string]error, err error) {
	if len(roots) == 0 {
		return nil, errors.New("copying kernels: the pool has no roots")
	}
	c := copies{d: d, top: top, known: map[digest]string{}}
	if err := c.clean(roots); err != nil {
		return nil, fmt.Errorf("copying kernels: %w", err)
	}
	failed = map[string]error{}
	for _, r := range roots {
		if err := c.root(r); err != nil {
			failed[r.Name] = fmt.Errorf("copying the kernel of the root %q: %w", r.Name, err)
		}
	}
	return failed, nil
}

// copies is one Update.
type copies struct {
	d     durable.Disk
	top   string
	known map[digest]string // files of whole copies
}

// clean removes all but the newest whole copy of each root, and reads what these have.
func (c *copies) clean(roots []Root) error {
	entries, err := os.ReadDir(c.top)
	if err != nil {
		return err
	}
	for _, e := range entries {
		dir := filepath.Join(c.top, e.Name())
		if e.Name() == "lost+found" { // of the filesystem
			continue
		}
		if !e.IsDir() || !slices.ContainsFunc(roots, func(r Root) bool { return r.Name == e.Name() }) {
			if err := c.remove(dir); err != nil {
				return err
			}
			continue
		}
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
		if newest == 0 {
			continue
		}
		if err := c.know(e.Name(), newest); err != nil {
			return err
		}
	}
	return c.d.SyncDir(c.top)
}

// know reads what a whole copy has.
func (c *copies) know(root string, n int) error {
	has, err := read(c.copy(root, n))
	for name, f := range has {
		c.known[f.digest] = filepath.Join(c.copy(root, n), name)
	}
	return err
}

// copy is the folder of a copy.
func (c *copies) copy(root string, n int) string { return filepath.Join(c.top, root, strconv.Itoa(n)) }

// numbers is the number of the newest whole copy in the folder of a root, 0 if there is none, and all that is there.
func (c *copies) numbers(dir string) (newest int, all []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, nil, err
	}
	for _, e := range entries {
		all = append(all, e.Name())
		n, err := strconv.Atoi(e.Name())
		if err != nil || n <= newest || n > maxNumber || strconv.Itoa(n) != e.Name() || !e.IsDir() {
			continue
		}
		if regular(filepath.Join(dir, e.Name(), kernelFile)) && regular(filepath.Join(dir, e.Name(), initrdFile)) {
			newest = n
		}
	}
	return newest, all, nil
}

// maxNumber is the largest number of a copy; GRUB reads numbers as C's int.
const maxNumber = 1 << 30

func regular(file string) bool {
	st, err := os.Lstat(file)
	return err == nil && st.Mode().IsRegular() && st.Size() > 0
}

// root makes the copy of a root that of now.
func (c *copies) root(r Root) error {
	if err := bootenv.CheckName(r.Name); err != nil {
		return err
	}
	top, err := os.OpenRoot(r.Dir)
	if err != nil {
		return err
	}
	defer top.Close()
	want, err := wanted(top, r.Removed)
	if err != nil {
		return err
	}
	dir := filepath.Join(c.top, r.Name)
	n, _, err := c.numbers(dir)
	if err != nil {
		return err
	}
	if n > 0 {
		has, err := read(c.copy(r.Name, n))
		if err != nil {
			return err
		}
		if same(has, want) {
			return c.durable(dir, c.copy(r.Name, n)) // an Update that was killed may have left it to this one
		}
	}
	if r.Check != nil && c.linked(want[initrdFile]) == "" {
		if err := r.Check(want[initrdFile].from); err != nil {
			return err
		}
	}
	if err := c.room(want); err != nil {
		return err
	}
	if n >= maxNumber {
		return fmt.Errorf("its copy has the number %d, and there is none larger", n)
	}
	if err := c.write(top, r.Name, n+1, want); err != nil {
		return errors.Join(err, c.remove(c.copy(r.Name, n+1)))
	}
	if n > 0 {
		if err := c.remove(c.copy(r.Name, n)); err != nil {
			return err
		}
	}
	for name, f := range want {
		c.known[f.digest] = filepath.Join(c.copy(r.Name, n+1), name)
	}
	return nil
}

// durable syncs the names of a whole copy.
func (c *copies) durable(root, dir string) error {
	return errors.Join(c.d.SyncDir(dir), c.d.SyncDir(root), c.d.SyncDir(c.top))
}

// remove removes a file or a folder with all that is in it. The kernel of a copy goes first: without it the copy does
// not count.
func (c *copies) remove(at string) error {
	st, err := os.Lstat(at)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if st.IsDir() {
		entries, err := os.ReadDir(at)
		if err != nil {
			return err
		}
		slices.SortStableFunc(entries, func(a, b fs.DirEntry) int {
			switch {
			case a.Name() == kernelFile && b.Name() != kernelFile:
				return -1
			case b.Name() == kernelFile && a.Name() != kernelFile:
				return 1
			}
			return 0
		})
		for _, e := range entries {
			if err := c.remove(filepath.Join(at, e.Name())); err != nil {
				return err
			}
			if e.Name() == kernelFile { // so that no copy has it without the rest
				if err := c.d.SyncDir(at); err != nil {
					return err
				}
			}
		}
	}
	for known, file := range c.known {
		if file == at {
			delete(c.known, known)
		}
	}
	if err := c.d.Remove(at); err != nil {
		return err
	}
	return c.d.SyncDir(filepath.Dir(at))
}
