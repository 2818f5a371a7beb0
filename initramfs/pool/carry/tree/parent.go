package tree

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	"griddle/initramfs/sysroot"
)

// parent opens the folder that a path is in, with the symlinks above it as the started system has them. The cursor is
// empty where there is no such folder.
func parent(d sysroot.Dir, at string) (cursor, error) {
	st, err := d.Stat(path.Dir(at))
	switch {
	case errors.Is(err, fs.ErrNotExist) || err != nil && sysroot.FromTree(err) || err == nil && !st.IsDir():
		return cursor{}, nil
	case err != nil:
		return cursor{}, err
	}
	f, err := d.Open(path.Dir(at))
	if err != nil {
		return cursor{}, err
	}
	return opened(f)
}

// makeParent is parent in New: folders that are missing are made as Old has them.
func (w *walk) makeParent(old, to sysroot.Dir, at string) (cursor, error) {
	dir := ""
	for _, part := range strings.Split(path.Dir(at), "/") {
		dir = path.Join(dir, part)
		st, err := to.Stat(dir)
		if err == nil && !st.IsDir() {
			return cursor{}, fmt.Errorf("%s is not a folder in the new image: change the image, or the list that "+
				"keeps the path", Name("/"+dir))
		}
		if err == nil {
			continue
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return cursor{}, err
		}
		if err := w.makeFolder(old, to, dir); err != nil {
			return cursor{}, err
		}
	}
	return parent(to, at)
}

func (w *walk) makeFolder(old, to sysroot.Dir, dir string) error {
	st, err := old.Stat(dir)
	if err != nil {
		return err
	}
	if err := to.MakeDir(dir, st.Mode().Perm()); err != nil {
		return err
	}
	if made, err := to.Lstat(dir); err != nil || !made.IsDir() { // it is where a symlink leads to
		return err
	}
	owner := sysroot.OwnerOf(st)
	return errors.Join(to.Lchown(dir, moved(w.UID, owner.UID), moved(w.GID, owner.GID)), to.Chmod(dir, st.Mode()))
}

// mountOf is the mount that a tree is in.
func mountOf(r *os.Root) (uint64, error) {
	f, err := r.Open(".")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	st, err := statAt(int(f.Fd()), "")
	if err != nil {
		return 0, err
	}
	return st.Mnt_id, nil
}
