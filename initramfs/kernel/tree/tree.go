// Package tree makes the tree of a kernel image from a Debian package of a kernel (see package kernel).
//
// Call Make. It unpacks the package, has depmod make the tables of its modules, and adds the small initrd, whose /init
// is the program firstroot. Nothing of the package runs.
//
// The same package and the same program give the same tree, byte for byte, with the same times, on every computer:
// publishing it again changes nothing. It needs dpkg-deb(1) and depmod(8) (Debian packages dpkg and kmod).
//
// Sources: deb(5), depmod(8); Linux, Documentation/driver-api/early-userspace/buffer-format.rst.
package tree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"griddle/initramfs/debian"
	"griddle/initramfs/kernel"
)

// Package is what a Debian package says of itself.
type Package struct {
	Name    string // "linux-image-6.1.0-56-amd64"
	Version string // "6.1.192-2"
	Arch    string // "amd64"
}

// Read reads the control file of a package.
func Read(ctx context.Context, deb string) (Package, error) {
	out, err := exec.CommandContext(ctx, "dpkg-deb", "--show",
		"--showformat", "${Package}|${Version}|${Architecture}", deb).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, strings.TrimSpace(string(exit.Stderr)))
		}
		return Package{}, fmt.Errorf("reading the package %s: %w", deb, err)
	}
	f := strings.Split(string(out), "|")
	if len(f) != 3 {
		return Package{}, fmt.Errorf("reading the package %s: dpkg-deb printed %q", deb, out)
	}
	return Package{Name: f[0], Version: f[1], Arch: f[2]}, nil
}

// Make makes the tree of a kernel image at dir, which must not exist, of a kernel's package. program is
// firstroot. It returns the kernel's release. If it fails, what is at dir is of no use.
func Make(ctx context.Context, deb string, program []byte, dir string) (release string, err error) {
	work := dir + ".unpacked"
	defer os.RemoveAll(work)
	if err := errors.Join(os.RemoveAll(work), os.Mkdir(dir, 0o755)); err != nil {
		return "", fmt.Errorf("making the tree of a kernel: %w", err)
	}
	if err := debian.Unpack(ctx, deb, work); err != nil {
		return "", err
	}
	if release, err = releaseOf(work); err != nil {
		return "", fmt.Errorf("making a kernel image of %s: %w", deb, err)
	}
	if err := tables(ctx, work, release); err != nil {
		return "", err
	}
	if err := keep(work, dir, release); err != nil {
		return "", fmt.Errorf("making the tree of a kernel: %w", err)
	}
	initrd, err := initrd(filepath.Join(dir, "usr/lib/modules", release), program)
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(dir, "boot", "initrd.img-"+release), initrd, 0o644); err != nil {
		return "", fmt.Errorf("making the tree of a kernel: %w", err)
	}
	mark := filepath.Join(dir, kernel.MirrorFile)
	if err := errors.Join(os.MkdirAll(filepath.Dir(mark), 0o755), os.WriteFile(mark, nil, 0o644)); err != nil {
		return "", fmt.Errorf("making the tree of a kernel: %w", err)
	}
	if err := settle(dir, release); err != nil {
		return "", fmt.Errorf("making the tree of a kernel: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", fmt.Errorf("making the tree of a kernel: %w", err)
	}
	defer root.Close()
	return kernel.Find(root)
}

// releaseOf is the RELEASE of the one boot/vmlinuz-RELEASE below dir.
func releaseOf(dir string) (string, error) {
	found, err := filepath.Glob(filepath.Join(dir, "boot", "vmlinuz-*"))
	if err != nil || len(found) != 1 {
		return "", fmt.Errorf("it is not the package of a kernel: it has %d files boot/vmlinuz-*, not one; a package "+
			"such as linux-image-amd64 only names another one", len(found))
	}
	return strings.TrimPrefix(filepath.Base(found[0]), "vmlinuz-"), nil
}

// tables has depmod make the tables. Debian 12 has modules in /lib/modules, Debian 13 in /usr/lib/modules; here they
// are in the latter, and depmod finds them under both names.
func tables(ctx context.Context, work, release string) error {
	lib, usrLib := filepath.Join(work, "lib"), filepath.Join(work, "usr", "lib")
	var err error
	if _, old := os.Stat(filepath.Join(lib, "modules")); old == nil {
		err = errors.Join(os.MkdirAll(usrLib, 0o755),
			os.Rename(filepath.Join(lib, "modules"), filepath.Join(usrLib, "modules")))
	}
	if err = errors.Join(err, os.RemoveAll(lib), os.Symlink("usr/lib", lib)); err != nil {
		return fmt.Errorf("making the tables of the modules: %w", err)
	}
	out, err := exec.CommandContext(ctx, "depmod", "-b", work, release).CombinedOutput()
	if err != nil {
		return fmt.Errorf("making the tables of the modules: running depmod: %w (Debian package kmod)\n%s", err, out)
	}
	return nil
}

// keep moves what a kernel image has from the unpacked package into dir.
func keep(work, dir, release string) error {
	names := []string{"boot/vmlinuz-" + release, "boot/config-" + release, "usr/lib/modules/" + release}
	licences, err := filepath.Glob(filepath.Join(work, "usr/share/doc/*/copyright"))
	if err != nil {
		return err
	}
	for _, l := range licences {
		rel, err := filepath.Rel(work, l)
		if err != nil {
			return err
		}
		names = append(names, rel)
	}
	for _, name := range names {
		to := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		err := os.Rename(filepath.Join(work, name), to)
		if err != nil && !(errors.Is(err, fs.ErrNotExist) && strings.HasPrefix(name, "boot/config-")) {
			return err
		}
	}
	return nil
}

// settle gives everything the time of the kernel, and permissions that no umask changed. Links lead to where the
// kernel was compiled, and go.
func settle(dir, release string) error {
	st, err := os.Stat(filepath.Join(dir, "boot", "vmlinuz-"+release))
	if err != nil {
		return err
	}
	at := st.ModTime().Truncate(time.Second)
	var dirs []string
	err = filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir():
			dirs = append(dirs, name) // later: what is removed in it changes its time
			return os.Chmod(name, 0o755)
		case e.Type().IsRegular():
			return errors.Join(os.Chmod(name, 0o644), os.Chtimes(name, at, at))
		case e.Type() == fs.ModeSymlink:
			return os.Remove(name)
		}
		return fmt.Errorf("%s is neither a file nor a folder", name)
	})
	for _, d := range dirs {
		if err == nil {
			err = os.Chtimes(d, at, at)
		}
	}
	return err
}
