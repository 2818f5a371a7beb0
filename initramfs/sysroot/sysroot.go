// Package sysroot reads and writes files in the tree of an installed system, which is not the one that runs.
//
// Open the tree with os.OpenRoot and put it into a Dir. Names are relative to the tree, without a slash before them.
//
// All access goes through os.Root: the symlinks of a hostile image lead nowhere else, and absolute ones are errors. A
// file is replaced by a rename, so it is whole, old or new, at any time. Nothing is synced: the caller syncs the
// filesystem once, when all is written.
package sysroot

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
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
		return nil, fmt.Errorf("listing /%s: it is not a folder", dir)
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
	if err := d.MkdirAll(dir, mode); err != nil {
		return fmt.Errorf("making /%s: %w", dir, err)
	}
	return nil
}

// Parent makes the folder that name is in, and its parents, with mode 0755.
func (d Dir) Parent(name string) error { return d.MakeDir(path.Dir(name), 0o755) }

// Read returns a small regular file, nil where there is none or it is something else.
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
	b, err := io.ReadAll(io.LimitReader(f, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("reading /%s: %w", name, err)
	}
	return b, nil
}

// Write puts a file in place of whatever bears the name, with its parents if they are missing.
func (d Dir) Write(name string, data []byte, mode fs.FileMode) error {
	return d.Copy(name, strings.NewReader(string(data)), mode)
}

// Copy is Write of what r reads.
func (d Dir) Copy(name string, r io.Reader, mode fs.FileMode) error {
	if err := d.Parent(name); err != nil {
		return err
	}
	tmp := name + ".griddle-new"
	if err := d.RemoveAll(tmp); err != nil {
		return fmt.Errorf("writing /%s: %w", name, err)
	}
	f, err := d.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return fmt.Errorf("writing /%s: %w", name, err)
	}
	_, err = io.Copy(f, r)
	err = errors.Join(err, f.Chmod(mode), f.Close())
	if err == nil {
		err = d.Rename(tmp, name)
	}
	if err != nil {
		return fmt.Errorf("writing /%s: %w", name, err)
	}
	return nil
}
