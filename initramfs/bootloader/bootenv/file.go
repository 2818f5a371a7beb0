package bootenv

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"griddle/imagestore/durable"

	"golang.org/x/sys/unix"
)

// Names are the two copies, in the order in which GRUB reads them, in the folder Folder of the partition.
var Names = [...]string{"grubenv", "grubenv2"}

// Folder is where the copies are, from the top of the EFI system partition.
const Folder = "griddle"

// Read reads the environment block on the EFI system partition mounted at esp: the first copy that is whole. If there
// is none, the error is ErrDamaged, also where the files are missing.
func Read(esp string) (Env, error) {
	e, _, err := read(esp)
	return e, err
}

// read also gives the lines of others in that copy.
func read(esp string) (e Env, others string, err error) {
	var errs error
	for _, name := range Names {
		b, err := load(filepath.Join(esp, Folder, name))
		if err == nil {
			e, err = Parse(b)
		}
		if err == nil {
			_, others, err = variables(b)
			return e, others, err
		}
		errs = errors.Join(errs, fmt.Errorf("%s: %w", name, err))
	}
	return Env{}, "", fmt.Errorf("reading which root boots: %w", errs)
}

// load reads a file of at most a little more than Size bytes.
func load(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, Size+1))
}

// Write makes e what the partition mounted at esp says. It is durable on return. The first copy, which counts, is
// written last and as one sector: when that is done, and not before, the machine boots what e says. After an error it
// is not known which of the two states counts; Read tells.
//
// Variables of others stay, as long as there is room for them. A file that is missing or has another size gets its
// name when it is whole.
func Write(esp string, e Env) error { return write(durable.Disk{}, esp, e) }

func write(d durable.Disk, esp string, e Env) error {
	_, others, _ := read(esp) // a damaged one has none
	b, err := e.block(others)
	if err != nil {
		return err
	}
	dir := filepath.Join(esp, Folder)
	if err := d.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("writing which root boots: %w", err)
	}
	for i := len(Names) - 1; i >= 0; i-- {
		if err := put(d, filepath.Join(dir, Names[i]), b); err != nil {
			return fmt.Errorf("writing which root boots: %w", err)
		}
	}
	return settle(dir, b)
}

// put writes one copy: in its place, so that its sectors are never another file's.
func put(d durable.Disk, path string, b []byte) error {
	if st, err := os.Lstat(path); err != nil || !st.Mode().IsRegular() || st.Size() != Size {
		return d.Replace(path, b, 0o644)
	}
	f, err := d.OpenFile(path, os.O_RDWR|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, 0)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// settle syncs the filesystem and reads both copies back.
func settle(dir string, b []byte) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("writing which root boots: %w", err)
	}
	defer d.Close()
	if err := unix.Syncfs(int(d.Fd())); err != nil {
		return fmt.Errorf("writing which root boots: %w", &fs.PathError{Op: "syncfs", Path: dir, Err: err})
	}
	for _, name := range Names {
		got, err := load(filepath.Join(dir, name))
		if err == nil && !bytes.Equal(got, b) {
			err = errors.New("what was written reads as something else: the disk is failing")
		}
		if err != nil {
			return fmt.Errorf("writing which root boots: %s: %w", name, err)
		}
	}
	return nil
}
