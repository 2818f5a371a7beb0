package sysroot

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"
)

// maxLinks is how many symlinks one name may lead over, as in the kernel (path_resolution(7)).
const maxLinks = 40

// treeError is what is wrong with a tree.
type treeError string

func (e treeError) Error() string { return string(e) }

// FromTree reports whether the content of the tree is the reason for an error: a file where a folder must be, symlinks
// that lead nowhere, a file that is too large. Else it is the disk or the kernel.
func FromTree(err error) bool {
	var t treeError
	return errors.As(err, &t) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.EISDIR) ||
		errors.Is(err, syscall.ELOOP) || errors.Is(err, fs.ErrExist)
}

// resolve is the name without symlinks that the started system finds under a name: absolute ones begin at the top of
// the tree, and no ".." leads over it. The last part is resolved only if last is set. What is missing stays as it is.
func (d Dir) resolve(name string, last bool) (string, error) {
	todo := strings.Split(strings.Trim(path.Clean("/"+name), "/"), "/")
	at := "."
	for links := 0; len(todo) > 0; {
		part := todo[0]
		todo = todo[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			at = path.Dir(at)
			continue
		}
		next := path.Join(at, part)
		if len(todo) == 0 && !last {
			return next, nil
		}
		target, err := d.Root.Readlink(next)
		if err != nil { // not a symlink, or missing: the operation on it has the error
			at = next
			continue
		}
		if links++; links > maxLinks {
			return "", treeError(fmt.Sprintf("it leads over more than %d symlinks, the last one /%s", maxLinks, next))
		}
		if path.IsAbs(target) {
			at = "."
		}
		todo = append(strings.Split(target, "/"), todo...)
	}
	return at, nil
}

// Lstat is what has a name; a symlink is not followed.
func (d Dir) Lstat(name string) (fs.FileInfo, error) {
	at, err := d.resolve(name, false)
	if err != nil {
		return nil, err
	}
	return d.Root.Lstat(at)
}

// Stat is what a name leads to.
func (d Dir) Stat(name string) (fs.FileInfo, error) {
	at, err := d.resolve(name, true)
	if err != nil {
		return nil, err
	}
	return d.Root.Lstat(at)
}

// Open opens what a name leads to, for reading.
func (d Dir) Open(name string) (*os.File, error) {
	at, err := d.resolve(name, true)
	if err != nil {
		return nil, err
	}
	return d.Root.Open(at)
}

// Readlink is the target of a symlink.
func (d Dir) Readlink(name string) (string, error) {
	at, err := d.resolve(name, false)
	if err != nil {
		return "", err
	}
	return d.Root.Readlink(at)
}

// Symlink makes a symlink.
func (d Dir) Symlink(target, name string) error {
	at, err := d.resolve(name, false)
	if err != nil {
		return err
	}
	return d.Root.Symlink(target, at)
}

// ReplaceLink puts a symlink in place of whatever has the name.
func (d Dir) ReplaceLink(target, name string) error {
	if old, err := d.Readlink(name); err == nil && old == target {
		return nil
	}
	tmp := name + ".griddle-new"
	err := d.Parent(name)
	if err == nil {
		err = d.RemoveAll(tmp)
	}
	if err == nil {
		err = d.Symlink(target, tmp)
	}
	if err == nil {
		err = d.Rename(tmp, name)
	}
	if err != nil {
		return fmt.Errorf("linking /%s to %s: %w", name, target, err)
	}
	return nil
}

// Mkdir makes a folder.
func (d Dir) Mkdir(name string, mode fs.FileMode) error {
	at, err := d.resolve(name, false)
	if err != nil {
		return err
	}
	return d.Root.Mkdir(at, mode)
}

// Remove removes a file, a symlink or an empty folder.
func (d Dir) Remove(name string) error {
	at, err := d.resolve(name, false)
	if err != nil {
		return err
	}
	return d.Root.Remove(at)
}

// RemoveAll removes whatever has a name, and what is below it.
func (d Dir) RemoveAll(name string) error {
	at, err := d.resolve(name, false)
	if err != nil {
		return err
	}
	return d.Root.RemoveAll(at)
}

// Rename gives a file or a folder another name, and replaces what has it.
func (d Dir) Rename(from, to string) error {
	from, err := d.resolve(from, false)
	if err != nil {
		return err
	}
	if to, err = d.resolve(to, false); err != nil {
		return err
	}
	return d.Root.Rename(from, to)
}

// Chmod changes the mode of what a name leads to.
func (d Dir) Chmod(name string, mode fs.FileMode) error {
	at, err := d.resolve(name, true)
	if err != nil {
		return err
	}
	return d.Root.Chmod(at, mode)
}

// Lchown changes the owner; of a symlink its own.
func (d Dir) Lchown(name string, uid, gid int) error {
	at, err := d.resolve(name, false)
	if err != nil {
		return err
	}
	return d.Root.Lchown(at, uid, gid)
}
