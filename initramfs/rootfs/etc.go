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

// imageFolder is in a root, and has what an update needs of the image to find out what was changed on the machine.
const imageFolder = "usr/lib/griddle/of-image"

// KeepEtc keeps a copy of /etc in a root that has exactly what its image has, for OpenImage. A filesystem that is a
// root by itself has no image beside it.
func KeepEtc(ctx context.Context, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("keeping /etc of the image: %w", err)
	}
	defer root.Close()
	s := sysroot.Dir{Root: root}
	err = errors.Join(s.RemoveAll(imageFolder), s.Parent(imageFolder), s.MakeDir(imageFolder, 0o700))
	if err != nil {
		return fmt.Errorf("keeping /etc of the image: %w", err)
	}
	to, err := root.OpenRoot(imageFolder)
	if err != nil {
		return fmt.Errorf("keeping /etc of the image: %w", err)
	}
	defer to.Close()
	if _, err := tree.Carry(ctx, tree.Roots{Old: root, New: to}, "etc", tree.Options{}); err != nil {
		return fmt.Errorf("keeping /etc of the image: %w", err)
	}
	return nil
}

// OpenImage opens what KeepEtc kept in a root: a tree that has /etc alone. nil means that it has none.
func OpenImage(root *os.Root) (*os.Root, error) {
	image, err := root.OpenRoot(imageFolder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return image, err
}
