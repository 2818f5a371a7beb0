// Package kernel gives a kernel to a root whose image has none.
//
// Kernels are images of their own: griddle/kernel:VERSION@ARCH is signed, delivered and kept in the pool like any other
// image. Call Add with the tree of one and the root that is being made. Package tree makes such trees.
//
//	boot/vmlinuz-RELEASE        the kernel; exactly one
//	boot/initrd.img-RELEASE     the initrd that finds the root: program firstroot and the drivers of disks
//	boot/config-RELEASE         how it was compiled; may be missing
//	usr/lib/griddle/initrd-mirror
//	                            the initrd knows mirrors; missing in images of earlier versions
//	usr/lib/modules/RELEASE/    all its modules, with the tables of depmod
//
// The names are those that GRUB looks for (package bootloader). Whatever else a kernel image has is not copied.
//
// # What it guarantees
//
// On btrfs the files share their blocks with those of the kernel image, which costs neither time nor room. The kernel's
// own file is the last that appears: a root with a kernel has its initrd and its modules. The files belong to root.
// Nothing outside of the two trees is read or written, whatever symlinks they have. Nothing is synced: the caller
// syncs the filesystem, as for everything else in a new root. Add can be called again after it failed.
//
// Sources: modules.dep(5); copy_file_range(2); Linux, Documentation/admin-guide/initrd.rst.
package kernel

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	"griddle/initramfs/sysroot"
)

// ErrNoKernel is wrapped if a tree is not that of a kernel image.
var ErrNoKernel = errors.New("it is not a kernel image")

// MirrorFile is in a kernel image whose initrd finds a root on the two disks of a mirror.
const MirrorFile = "usr/lib/griddle/initrd-mirror"

// modulesDir is where a kernel image has its modules.
const modulesDir = "usr/lib/modules"

// Find returns the release of the kernel in the tree of a kernel image, such as 6.1.0-56-amd64. It checks that the
// kernel has an initrd and modules.
func Find(tree *os.Root) (release string, err error) {
	fail := func(why string, args ...any) (string, error) {
		return "", fmt.Errorf("looking for the kernel: %w: %s", ErrNoKernel, fmt.Sprintf(why, args...))
	}
	found, err := fs.Glob(tree.FS(), "boot/vmlinuz-*")
	if err != nil || len(found) != 1 {
		return fail("it has %d files boot/vmlinuz-*, not one", len(found))
	}
	release = strings.TrimPrefix(found[0], "boot/vmlinuz-")
	if strings.TrimLeft(release, ".") == "" || strings.IndexFunc(release, odd) >= 0 {
		return fail("the release %q has characters that no kernel's has", release)
	}
	for _, want := range []struct {
		name string
		dir  bool
	}{{found[0], false}, {"boot/initrd.img-" + release, false}, {path.Join(modulesDir, release), true}} {
		st, err := tree.Lstat(want.name)
		switch {
		case err != nil:
			return fail("it has no %s", want.name)
		case want.dir != st.IsDir() || !want.dir && !st.Mode().IsRegular():
			return fail("its %s is a %s", want.name, st.Mode().Type())
		}
	}
	return release, nil
}

// odd says whether a character is not one of a release (Linux, Makefile, and Debian's policy for versions).
func odd(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._+~-", r))
}

// Add copies the kernel, the initrd and the modules of a kernel image into a root, and returns the kernel's release.
// Modules of the same release that the root has are replaced; other kernels stay.
func Add(ctx context.Context, tree, root *os.Root) (release string, err error) {
	if release, err = Find(tree); err != nil {
		return "", err
	}
	d := sysroot.Dir{Root: root}
	if err := copyModules(ctx, tree, d, release); err != nil {
		return "", fmt.Errorf("adding the kernel %s: %w", release, err)
	}
	for _, name := range []string{"config-", "initrd.img-", "vmlinuz-"} {
		name = "boot/" + name + release
		if err := copyFile(tree, d, name, name); err != nil && (!errors.Is(err, fs.ErrNotExist) ||
			!strings.HasPrefix(name, "boot/config-")) {
			return "", fmt.Errorf("adding the kernel %s: %w", release, err)
		}
	}
	return release, nil
}

// copyModules copies the modules of a release to where the programs of the root look for them: /lib/modules, which is
// /usr/lib/modules in most systems.
func copyModules(ctx context.Context, tree *os.Root, d sysroot.Dir, release string) error {
	to := "lib/modules"
	if _, err := d.Lstat("lib"); errors.Is(err, fs.ErrNotExist) {
		to = modulesDir
	}
	if err := d.RemoveAll(path.Join(to, release)); err != nil {
		return err
	}
	from := path.Join(modulesDir, release)
	return fs.WalkDir(tree.FS(), from, func(name string, e fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		target := path.Join(to, release, strings.TrimPrefix(name, from))
		switch e.Type() {
		case fs.ModeDir:
			return d.MakeDir(target, 0o755)
		case 0:
			return copyFile(tree, d, name, target)
		case fs.ModeSymlink: // "build" leads to the headers that the kernel was compiled with
			return nil
		}
		return fmt.Errorf("%s is neither a file nor a folder", name)
	})
}

// copyFile copies a regular file with its permissions. The kernel shares its blocks where it can.
func copyFile(tree *os.Root, d sysroot.Dir, from, to string) error {
	f, err := tree.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	return d.Copy(to, f, st.Mode().Perm())
}
