package newroot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// mountOwn mounts on a root that is a partition what it mounts of its pool. @home gets what the image has in /home and
// it has not.
func (m *making) mountOwn(ctx context.Context) error {
	if m.Own == nil {
		return nil
	}
	if err := mountOn(m.Node, "ext4", "", m.Root, PoolMount[1:]); err != nil {
		return fmt.Errorf("mounting the pool on %s: %w", PoolMount, err)
	}
	m.undo = append(m.undo, func() error { return unmount(filepath.Join(m.dir, PoolMount)) })
	pool, err := m.OpenRoot(PoolMount[1:])
	if err != nil {
		return err
	}
	defer pool.Close()
	if slices.Contains(m.ownFolders(), "home") {
		if err := m.ownHomeFolder(ctx, pool); err != nil {
			return fmt.Errorf("moving /home into the pool: %w", err)
		}
	}
	for _, folder := range m.ownFolders() {
		if err := bind(pool, "@"+folder, m.Root, folder); err != nil {
			return fmt.Errorf("mounting @%s on /%s: %w", folder, folder, err)
		}
		m.undo = append(m.undo, func() error { return unmount(filepath.Join(m.dir, folder)) })
	}
	return nil
}

// ownHomeFolder makes @home, and moves there what the root has in /home.
func (m *making) ownHomeFolder(ctx context.Context, pool *os.Root) error {
	if err := pool.Mkdir("@home", 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	home, err := pool.OpenRoot("@home")
	if err != nil {
		return err
	}
	defer home.Close()
	return m.moveHomeTo(ctx, home)
}

// bind has a folder of one tree at a folder of another one, wherever the names of the image may lead.
func bind(from *os.Root, source string, to *os.Root, folder string) error {
	src, err := from.Open(source)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := to.Open(folder)
	if err != nil {
		return err
	}
	defer dst.Close()
	at := fmt.Sprintf("/proc/self/fd/%d", dst.Fd())
	return unix.Mount(fmt.Sprintf("/proc/self/fd/%d", src.Fd()), at, "", unix.MS_BIND, "")
}
