package newroot

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"griddle/initramfs/mounts"
	"griddle/initramfs/subvolume"
	"griddle/initramfs/sysroot"
)

// volumes makes @home, and the folders of what the system mounts. @home begins as a snapshot of the image of which only
// /home is kept: on btrfs nothing can be renamed from one subvolume to another, and a snapshot keeps every attribute.
//
// It is made under another name: a crash leaves none, or a whole one.
func (m *making) volumes() error {
	if err := m.MakeDir("persistent", 0o755); err != nil {
		return err
	}
	entries, err := m.List("home")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if m.Own != nil {
		return errors.Join(m.MakeDir("home", 0o755), m.MakeDir(PoolMount[1:], 0o700))
	}
	if m.isBeside(mounts.Home) || m.ownHome() {
		return m.MakeDir("home", 0o755)
	}
	if _, err := os.Lstat(filepath.Join(m.Top, "@home")); errors.Is(err, fs.ErrNotExist) {
		if err := m.newHome(len(entries) == 0); err != nil {
			return err
		}
	} else if err != nil {
		return fmt.Errorf("looking for @home: %w", err)
	}
	if len(entries) == 0 {
		return m.MakeDir("home", 0o755)
	}
	for _, e := range entries {
		if err := m.RemoveAll(path.Join("home", e.Name())); err != nil {
			return fmt.Errorf("moving /home into @home: %w", err)
		}
	}
	return nil
}

// newHome makes @home, empty or with the image's /home.
func (m *making) newHome(empty bool) error {
	const name = "@home"
	aside, err := m.aside(name)
	if err != nil {
		return err
	}
	if empty {
		return subvolume.Create(m.Top, name)
	}
	if err := subvolume.Snapshot(m.Image, m.Top, aside); err != nil {
		return err
	}
	home, err := os.OpenRoot(filepath.Join(m.Top, aside))
	if err != nil {
		return fmt.Errorf("opening %s: %w", aside, err)
	}
	defer home.Close()
	if err := keepOnly(sysroot.Dir{Root: home}, "home"); err != nil {
		return fmt.Errorf("moving /home into @home: %w", err)
	}
	if err := os.Rename(filepath.Join(m.Top, aside), filepath.Join(m.Top, name)); err != nil {
		return fmt.Errorf("naming @home: %w", err)
	}
	return nil
}

// aside is the name under which a subvolume of the pool is made. What a crash left there is deleted.
func (m *making) aside(name string) (string, error) {
	aside := ".new-" + name
	if _, err := os.Lstat(filepath.Join(m.Top, aside)); err != nil {
		return aside, nil
	}
	return aside, subvolume.Delete(m.Top, aside)
}

// keepOnly removes everything but the content of one folder, which moves to the top.
func keepOnly(s sysroot.Dir, dir string) error {
	top, err := s.List(".")
	if err != nil {
		return err
	}
	for _, e := range top {
		if e.Name() == dir {
			continue
		}
		if err := s.RemoveAll(e.Name()); err != nil {
			return err
		}
	}
	// Out of the way first: the folder may hold one of its own name.
	aside := ".griddle-" + dir
	if err := s.Rename(dir, aside); err != nil {
		return err
	}
	entries, err := s.List(aside)
	if err != nil {
		return err
	}
	st, err := s.Lstat(aside)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := s.Rename(path.Join(aside, e.Name()), e.Name()); err != nil {
			return err
		}
	}
	if err := s.Remove(aside); err != nil {
		return err
	}
	return s.Chmod(".", st.Mode().Perm())
}

// mounted reads what the machine mounts beside its pool.
func (m *making) mounted() error {
	dir, err := os.OpenRoot(filepath.Join(m.Top, "@persistent"))
	if err != nil {
		return fmt.Errorf("opening @persistent of the pool: %w", err)
	}
	defer dir.Close()
	if m.beside, err = mounts.Read(dir); err != nil {
		return err
	}
	if m.isBeside(mounts.Home) && m.ownHome() {
		return errors.New("this machine has a filesystem of its own for /home, which cannot be fresh at each start: " +
			"give the job --reset=system or --reset=no")
	}
	return nil
}
