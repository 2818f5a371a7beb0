// Package sysroot reads and writes files in the tree of an installed system, which is not the one that runs.
//
// Open the tree with os.OpenRoot and put it into a Dir. Names are relative to the tree, without a slash before them.
//
// Symlinks lead where they will lead in the started system: absolute ones begin at the top of the tree, and ".." ends
// there. All access goes through os.Root besides, so that those of a hostile image lead nowhere else. A file is
// replaced by a rename, so it is whole, old or new, at any time. Nothing is synced: the caller syncs the filesystem
// once, when all is written.
package sysroot

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"
)

// Dir is the tree of an installed system.
type Dir struct{ *os.Root }

// List reads a folder; a symlink to one is an error.
func (d Dir) List(dir string) ([]fs.DirEntry, error) {
	st, err := d.Lstat(dir)
	if err != nil {
		return nil, err
	}
	if !st.IsDir() {
		return nil, fmt.Errorf("listing /%s: %w", dir, treeError("it is not a folder"))
	}
	f, err := d.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("listing /%s: %w", dir, err)
	}
	defer f.Close()
	entries, err := f.ReadDir(-1)
	if err != nil {
		return nil, fmt.Errorf("listing /%s: %w", dir, err)
	}
	return entries, nil
}

// MakeDir makes a folder and its parents; an existing one is left as it is.
func (d Dir) MakeDir(dir string, mode fs.FileMode) error {
	at, err := d.resolve(dir, true)
	if err == nil {
		err = d.MkdirAll(at, mode)
	}
	if err != nil {
		return fmt.Errorf("making /%s: %w", dir, err)
	}
	return nil
}

// Parent makes the folder that name is in, and its parents, with mode 0755.
func (d Dir) Parent(name string) error { return d.MakeDir(path.Dir(name), 0o755) }

// MaxRead is the size of the largest file that Read returns, in bytes.
const MaxRead = 1 << 20

// Read returns a regular file of at most MaxRead bytes, nil where there is none or it is something else.
func (d Dir) Read(name string) ([]byte, error) {
	st, err := d.Stat(name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !st.Mode().IsRegular() {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading /%s: %w", name, err)
	}
	f, err := d.Open(name)
	if err != nil {
		return nil, fmt.Errorf("reading /%s: %w", name, err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, MaxRead+1))
	if err == nil && len(b) > MaxRead {
		err = treeError(fmt.Sprintf("it has more than %d bytes", MaxRead))
	}
	if err != nil {
		return nil, fmt.Errorf("reading /%s: %w", name, err)
	}
	return b, nil
}

// Has reports whether the name leads to something. A symlink that leads to nothing does not count.
func (d Dir) Has(name string) bool {
	_, err := d.Stat(name)
	return err == nil
}

// HasFile reports whether the name leads to a regular file.
func (d Dir) HasFile(name string) bool {
	st, err := d.Stat(name)
	return err == nil && st.Mode().IsRegular()
}

// Program returns the name of a program in the usual folders, "" if the system does not have it.
func (d Dir) Program(name string) string {
	for _, dir := range []string{"usr/sbin", "usr/bin", "usr/local/sbin", "usr/local/bin", "sbin", "bin"} {
		p := path.Join(dir, name)
		if st, err := d.Stat(p); err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0 {
			return p
		}
	}
	return ""
}

// Write puts a file in place of whatever has the name, with its parents if they are missing.
func (d Dir) Write(name string, data []byte, mode fs.FileMode) error {
	return d.Copy(name, strings.NewReader(string(data)), mode)
}

// Copy is Write of what r reads.
func (d Dir) Copy(name string, r io.Reader, mode fs.FileMode) error {
	return d.put(name, r, mode, Owner{-1, -1})
}

// Owner is who owns a file, by numbers.
type Owner struct{ UID, GID int }

// OwnerOf is who owns a file.
func OwnerOf(st fs.FileInfo) Owner {
	sys := st.Sys().(*syscall.Stat_t)
	return Owner{int(sys.Uid), int(sys.Gid)}
}

// WriteAs is Write for a file of another owner.
func (d Dir) WriteAs(name string, data []byte, mode fs.FileMode, owner Owner) error {
	return d.put(name, strings.NewReader(string(data)), mode, owner)
}

// Replace is Write that keeps the mode and the owner of a regular file; mode is for a new one.
func (d Dir) Replace(name string, data []byte, mode fs.FileMode) error {
	owner := Owner{-1, -1}
	if st, err := d.Stat(name); err == nil && st.Mode().IsRegular() {
		mode, owner = st.Mode().Perm(), OwnerOf(st)
	}
	return d.put(name, strings.NewReader(string(data)), mode, owner)
}

// put makes a file under another name, with its mode and owner, and renames it.
func (d Dir) put(name string, r io.Reader, mode fs.FileMode, owner Owner) error {
	if err := d.Parent(name); err != nil {
		return err
	}
	at, err := d.resolve(name, false)
	if err != nil {
		return fmt.Errorf("writing /%s: %w", name, err)
	}
	tmp := at + ".griddle-new"
	if err := d.Root.RemoveAll(tmp); err != nil {
		return fmt.Errorf("writing /%s: %w", name, err)
	}
	f, err := d.Root.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode.Perm())
	if err != nil {
		return fmt.Errorf("writing /%s: %w", name, err)
	}
	_, err = io.Copy(f, r)
	if owner.UID >= 0 {
		err = errors.Join(err, f.Chown(owner.UID, owner.GID))
	}
	err = errors.Join(err, f.Chmod(mode), f.Close()) // after the owner, whose change takes setuid bits away
	if err == nil {
		err = d.Root.Rename(tmp, at)
	}
	if err != nil {
		return fmt.Errorf("writing /%s: %w", name, err)
	}
	return nil
}
