package pool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"griddle/initramfs/subvolume"
	"griddle/initramfs/sysroot"
)

// System is a root of the pool, mounted for programs, with /home and /persistent. Other programs see it meanwhile.
type System struct {
	Dir  string // path of its top
	Name string // of the root

	close []func() error
}

// System mounts a root. It must not be the one that runs. Of an encrypted pool, Close copies what GRUB reads of it:
// close it before the pool.
func (p *Pool) System(name string) (*System, error) {
	c, err := p.Read()
	if err != nil {
		return nil, err
	}
	r, err := c.Root(name)
	switch {
	case err != nil:
		return nil, err
	case r.Own:
		return nil, fmt.Errorf("entering the root %s: %w: it is a partition of its own, which is not entered so far; "+
			"mount it by hand", Label(r.Name), ErrRefused)
	case r.Reset != "":
		return nil, fmt.Errorf("entering the root %s: %w: it is the base of the systems that start, and does not "+
			"change", Label(r.Name), ErrRefused)
	case r.Runs:
		return nil, fmt.Errorf("entering the root %s: %w: it is the system that runs", Label(r.Name), ErrRefused)
	}
	s := &System{Name: r.Name}
	if s.Dir, err = os.MkdirTemp("/run", "griddle-root-"); err != nil {
		return nil, fmt.Errorf("entering the root %s: %w", Label(r.Name), err)
	}
	s.close = append(s.close, func() error { return os.Remove(s.Dir) })
	if err := s.mount(p.place.Pool); err != nil {
		return nil, errors.Join(fmt.Errorf("entering the root %s: %w", Label(r.Name), err), s.Close())
	}
	if p.boot != nil { // in the end a kernel may be another one
		s.close = slices.Insert(s.close, 0, p.CopyKernels)
	}
	return s, nil
}

func (s *System) mount(node string) error {
	off, err := subvolume.At(node, roots+"/"+s.Name, s.Dir)
	if err != nil {
		return err
	}
	s.close = append(s.close, off)
	root, err := os.OpenRoot(s.Dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, dir := range []string{"home", "persistent"} {
		st, err := root.Lstat(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if !st.IsDir() {
			return fmt.Errorf("its /%s is not a folder", dir)
		}
		off, err := subvolume.At(node, "@"+dir, filepath.Join(s.Dir, dir))
		if errors.Is(err, fs.ErrNotExist) {
			continue // of a pool without it
		}
		if err != nil {
			return err
		}
		s.close = append(s.close, off)
	}
	return nil
}

// Hostname is the name that the system has in /etc/hostname, "" for none.
func (s *System) Hostname() string {
	root, err := os.OpenRoot(s.Dir)
	if err != nil {
		return ""
	}
	defer root.Close()
	b, err := sysroot.Dir{Root: root}.Read("etc/hostname")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// Close unmounts it. It is durable.
func (s *System) Close() error {
	var errs error
	for _, c := range slices.Backward(s.close) {
		errs = errors.Join(errs, c())
	}
	s.close = nil
	return errs
}
