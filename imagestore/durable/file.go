package durable

import (
	"io/fs"
	"os"
)

// File is an open file whose changes go through its Disk.
type File struct {
	d   Disk
	f   *os.File
	end int64 // where the next Write goes
}

// CreateTemp makes a file with a new name in dir, as os.CreateTemp does, with mode 0600.
func (d Disk) CreateTemp(dir, pattern string) (*File, error) {
	f, err := os.CreateTemp(dir, pattern)
	if err != nil {
		return nil, err
	}
	// Announced when its name is known: nobody else has seen the file yet.
	if err := d.before(&Op{Kind: Create, Path: f.Name()}); err != nil {
		f.Close()
		os.Remove(f.Name())
		return nil, err
	}
	return &File{d: d, f: f}, nil
}

// OpenFile opens a file as os.OpenFile does. Writes begin at its start.
func (d Disk) OpenFile(path string, flag int, mode fs.FileMode) (*File, error) {
	if flag&os.O_CREATE != 0 {
		if err := d.before(&Op{Kind: Create, Path: path}); err != nil {
			return nil, err
		}
	}
	f, err := os.OpenFile(path, flag, mode)
	if err != nil {
		return nil, err
	}
	return &File{d: d, f: f}, nil
}

// Name is the path by which the file was opened.
func (f *File) Name() string { return f.f.Name() }

// Stat is os.File's.
func (f *File) Stat() (fs.FileInfo, error) { return f.f.Stat() }

// ReadAt implements io.ReaderAt.
func (f *File) ReadAt(b []byte, off int64) (int, error) {
	if err := f.d.reading(f.Name()); err != nil {
		return 0, err
	}
	return f.f.ReadAt(b, off)
}

// Close closes the file; what was not synced may be lost.
func (f *File) Close() error { return f.f.Close() }

// Write implements io.Writer, after the last Write.
func (f *File) Write(b []byte) (int, error) {
	n, err := f.WriteAt(b, f.end)
	f.end += int64(n)
	return n, err
}

// WriteAt implements io.WriterAt.
func (f *File) WriteAt(b []byte, off int64) (int, error) {
	o := Op{Kind: Write, Path: f.Name(), Offset: off, Data: b}
	if err := f.d.before(&o); err != nil {
		n := 0
		if len(o.Data) < len(b) {
			n, _ = f.f.WriteAt(o.Data, off) // as much as there was room for
		}
		return n, err
	}
	return f.f.WriteAt(b, off)
}

// Truncate cuts the file, or extends it with zeros.
func (f *File) Truncate(size int64) error {
	if err := f.d.before(&Op{Kind: Truncate, Path: f.Name(), Offset: size}); err != nil {
		return err
	}
	return f.f.Truncate(size)
}

// Chmod sets the file's permissions.
func (f *File) Chmod(mode fs.FileMode) error {
	if err := f.d.before(&Op{Kind: Chmod, Path: f.Name()}); err != nil {
		return err
	}
	return f.f.Chmod(mode)
}

// Sync makes the file's content and attributes durable, though not its name.
func (f *File) Sync() error {
	if err := f.d.before(&Op{Kind: Sync, Path: f.Name()}); err != nil {
		return err
	}
	return f.f.Sync()
}
