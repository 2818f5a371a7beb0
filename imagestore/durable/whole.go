package durable

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// temporary begins the names of files that Create and Replace have not named yet.
const temporary = ".durable-"

// abandoned is the age at which a temporary file is taken to belong to a process that died.
const abandoned = 24 * time.Hour

// Create makes a file that must not exist yet (fs.ErrExist). It appears whole: a synced temporary file gets its name
// by link, which never replaces one. The fsync of the directory makes it durable when Create returns.
func (d Disk) Create(path string, b []byte, mode fs.FileMode) error {
	return d.whole(path, b, mode, func(from, to string) error {
		if err := d.Link(from, to); err != nil {
			return errors.Join(err, d.Remove(from))
		}
		return d.Remove(from)
	})
}

// Replace writes a file that may exist. At any time it is the old or the new one, whole. The fsync of the directory
// at the end makes it durable. A file that has these bytes and this mode already is only synced.
func (d Disk) Replace(path string, b []byte, mode fs.FileMode) error {
	if i, err := os.Lstat(path); err == nil && i.Mode() == mode && i.Size() == int64(len(b)) {
		if old, err := d.ReadFile(path); err == nil && bytes.Equal(old, b) {
			return d.settle(path)
		}
	}
	return d.whole(path, b, mode, func(from, to string) error {
		if err := d.Rename(from, to); err != nil {
			return errors.Join(err, d.Remove(from))
		}
		return nil
	})
}

// settle makes durable what another process may have written and not come to sync.
func (d Disk) settle(path string) error {
	f, err := d.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return err
	}
	return d.SyncDir(filepath.Dir(path))
}

func (d Disk) whole(path string, b []byte, mode fs.FileMode, name func(from, to string) error) error {
	dir := filepath.Dir(path)
	d.Sweep(dir)
	f, err := d.CreateTemp(dir, temporary+"*")
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.fill(b, mode); err != nil {
		return errors.Join(err, d.Remove(f.Name()))
	}
	if err := name(f.Name(), path); err != nil {
		return err
	}
	return d.SyncDir(dir)
}

func (f *File) fill(b []byte, mode fs.FileMode) error {
	if err := f.Chmod(mode); err != nil {
		return err
	}
	if _, err := f.Write(b); err != nil {
		return err
	}
	return f.Sync()
}

// Sweep removes temporary files in dir that dead processes left, if they are a day old. Create and Replace call it
// first. It ignores errors.
func (d Disk) Sweep(dir string) {
	all, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range all {
		if !strings.HasPrefix(e.Name(), temporary) || !e.Type().IsRegular() {
			continue
		}
		if i, err := e.Info(); err == nil && time.Since(i.ModTime()) > abandoned {
			d.Remove(filepath.Join(dir, e.Name()))
		}
	}
}
