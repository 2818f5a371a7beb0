package bootcopy

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"griddle/appliance/job"

	"golang.org/x/sys/unix"
)

// File is a kernel or an initrd that a root will have.
type File struct {
	Size   int64 // bytes
	SHA256 [32]byte
}

// Room is how many bytes the copy of a root with these files needs in the partition at top, beside all whole copies,
// and how many are free. Call Update before, which removes what no one needs.
func Room(top string, files []File) (need, free int64, err error) {
	c := copies{top: top, known: map[digest]string{}}
	roots, err := os.ReadDir(top)
	if err != nil {
		return 0, 0, err
	}
	for _, r := range roots {
		if !r.IsDir() {
			continue
		}
		n, _, err := c.numbers(filepath.Join(top, r.Name()))
		if err != nil {
			return 0, 0, err
		}
		if n > 0 {
			if err := c.know(r.Name(), n); err != nil {
				return 0, 0, err
			}
		}
	}
	want := map[string]content{}
	for i, f := range files {
		want[fmt.Sprint(i)] = content{size: f.Size, digest: f.SHA256}
	}
	return c.needs(want)
}

// Freed is how many bytes are free again when the copy of a root is removed: those that no other copy shares.
func Freed(top, root string) (n int64) {
	_ = filepath.WalkDir(filepath.Join(top, root), func(path string, e fs.DirEntry, err error) error {
		var st unix.Stat_t
		if err == nil && unix.Lstat(path, &st) == nil && (e.IsDir() || st.Nlink == 1) {
			n += st.Blocks * 512
		}
		return nil // what cannot be read does not count
	})
	return n
}

// needs is how many bytes a new copy needs that it does not share with others, and how many are free.
func (c *copies) needs(want map[string]content) (need, free int64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(c.top, &st); err != nil {
		return 0, 0, &fs.PathError{Op: "statfs", Path: c.top, Err: err}
	}
	block := max(st.Bsize, 1)
	need = 16 * block // folders
	for _, f := range want {
		if c.linked(f) == "" {
			need += (f.size + block - 1) / block * block
		}
	}
	return need, int64(st.Bavail) * block, nil
}

// room is ErrRoom if there is too little for a new copy.
func (c *copies) room(want map[string]content) error {
	need, free, err := c.needs(want)
	if err == nil && need > free {
		err = fmt.Errorf("%w: %s are needed, and %s are free; delete earlier roots, such as with `griddle-agent "+
			"recover`", ErrRoom, job.Bytes(need), job.Bytes(free))
	}
	return err
}
