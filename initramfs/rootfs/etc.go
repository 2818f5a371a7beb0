package rootfs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"griddle/initramfs/pool/carry/tree"
	"griddle/initramfs/sysroot"
)

// Folders in a root. The first has what an update needs of the image to find out what was changed on the machine, the
// second what a shutdown needs of the old root to find out what was changed since the update.
const (
	imageFolder  = "usr/lib/griddle/of-image"
	beforeFolder = "usr/lib/griddle/of-old"
)

// KeepEtc keeps a copy of /etc in a root that has exactly what its image has, for OpenImage. A filesystem that is a
// root by itself has no image beside it.
func KeepEtc(ctx context.Context, dir string) error {
	root, err := os.OpenRoot(dir)
	if err == nil {
		err = errors.Join(keep(ctx, root, root, imageFolder), root.Close())
	}
	if err != nil {
		return fmt.Errorf("keeping /etc of the image: %w", err)
	}
	return nil
}

// KeepBefore keeps a copy of the old root's /etc in a new root, for OpenBefore. Call it before anything is carried.
func KeepBefore(ctx context.Context, old *os.Root, dir string) error {
	root, err := os.OpenRoot(dir)
	if err == nil {
		err = errors.Join(keep(ctx, old, root, beforeFolder), root.Close())
	}
	if err != nil {
		return fmt.Errorf("keeping /etc of the old root: %w", err)
	}
	return nil
}

// keep copies /etc of a root into a folder of one, which only root can read.
func keep(ctx context.Context, from, root *os.Root, folder string) error {
	s := sysroot.Dir{Root: root}
	if err := errors.Join(s.RemoveAll(folder), s.Parent(folder), s.MakeDir(folder, 0o700)); err != nil {
		return err
	}
	to, err := root.OpenRoot(folder)
	if err != nil {
		return err
	}
	defer to.Close()
	_, err = tree.Carry(ctx, tree.Roots{Old: from, New: to}, "etc", tree.Options{})
	return err
}

// OpenImage opens what KeepEtc kept in a root: a tree that has /etc alone. nil means that it has none.
func OpenImage(root *os.Root) (*os.Root, error) { return open(root, imageFolder) }

// OpenBefore opens what KeepBefore kept in a root: a tree that has /etc alone. nil means that it has none.
func OpenBefore(root *os.Root) (*os.Root, error) { return open(root, beforeFolder) }

func open(root *os.Root, folder string) (*os.Root, error) {
	kept, err := root.OpenRoot(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return kept, err
}
