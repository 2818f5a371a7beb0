package bootloader

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

// ErrFull means that an EFI system partition has no room for GRUB's files.
var ErrFull = errors.New("the EFI system partition has too little room")

// file is one file that goes to an EFI system partition.
type file struct {
	name string // from the top of the partition
	data []byte
}

// temporary ends the name of a file that is not whole yet. It is the same each time: what a power cut left is written
// over, and takes no room for ever.
const temporary = ".new"

// is says whether the partition at dir has the file as it should be.
func (f file) is(dir string) bool {
	old, err := load(filepath.Join(dir, f.name), int64(len(f.data)))
	return err == nil && bytes.Equal(old, f.data)
}

// write makes the file durable. It is as good as vfat lets it be: the rename is not atomic against a power cut there,
// but at no time does a half-written file have the name.
func (f file) write(d durable.Disk, dir string) error {
	path := filepath.Join(dir, f.name)
	if err := d.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if f.is(dir) {
		if _, err := os.Lstat(path + temporary); err == nil {
			if err := d.Remove(path + temporary); err != nil {
				return err
			}
		}
		// It may be in memory only: from a program that was killed before it had synced.
		return d.Replace(path, f.data, mode(path))
	}
	tmp := path + temporary
	t, err := d.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, 0o644)
	if err != nil {
		return err
	}
	_, err = t.Write(f.data)
	if err == nil {
		err = t.Sync()
	}
	if err = errors.Join(err, t.Close()); err != nil {
		return errors.Join(err, d.Remove(tmp))
	}
	if err := d.Rename(tmp, path); err != nil {
		return err
	}
	return d.SyncDir(filepath.Dir(path))
}

func mode(path string) fs.FileMode {
	st, err := os.Lstat(path)
	if err != nil {
		return 0o644
	}
	return st.Mode()
}

// room is ErrFull if the partition at dir cannot have all of these files. Old and new ones are there at the same time.
func room(dir string, files []file) error {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return &fs.PathError{Op: "statfs", Path: dir, Err: err}
	}
	cluster := max(st.Bsize, 1)
	whole := func(n int64) int64 { return (n + cluster - 1) / cluster * cluster }
	need, have := int64(0), int64(st.Bavail)*cluster
	folders := map[string]bool{}
	for _, f := range files {
		if f.is(dir) {
			continue
		}
		need += whole(int64(len(f.data)))
		if left, err := os.Lstat(filepath.Join(dir, f.name+temporary)); err == nil {
			have += whole(left.Size())
		}
		for up := filepath.Dir(f.name); up != "." && !folders[up]; up = filepath.Dir(up) {
			folders[up] = true
			if _, err := os.Lstat(filepath.Join(dir, up)); errors.Is(err, fs.ErrNotExist) {
				need += cluster
			}
		}
	}
	if need > have {
		return fmt.Errorf("%w: GRUB needs %d KiB and %d KiB are free; nothing was changed; remove what no system "+
			"needs, or make the partition larger", ErrFull, need>>10, have>>10)
	}
	return nil
}

// load reads a regular file that is not larger than limit bytes; of a larger one, one byte more.
func load(path string, limit int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return nil, errors.Join(err, fmt.Errorf("%s is not a file", path))
	}
	return io.ReadAll(io.LimitReader(f, limit+1))
}
