package tree

import (
	"errors"
	"io"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// put has New have what Old has under a name.
func (w *walk) put(name, at string, old stat) error {
	deleted := kind(old) == unix.S_IFCHR && old.Rdev_major == 0 && old.Rdev_minor == 0 // overlayfs's whiteout
	switch {
	case kind(old) == unix.S_IFREG || kind(old) == unix.S_IFLNK || deleted:
	case kind(old) == unix.S_IFSOCK:
		w.leave(at, "it is a socket, which its program makes")
		return nil
	case kind(old) == unix.S_IFIFO:
		w.leave(at, "it is a named pipe")
		return nil
	default:
		w.leave(at, "it is a device")
		return nil
	}
	if err := w.ensure(); err != nil {
		return err
	}
	now, err := w.to.stat(name)
	if err == nil && now != nil {
		err = w.to.remove(name, now)
	}
	if err != nil {
		return err
	}
	w.Carried++
	if old.Nlink > 1 {
		if done, err := w.link(name, old); done || err != nil {
			return err
		}
	}
	switch kind(old) {
	case unix.S_IFREG:
		err = w.file(name, old)
	case unix.S_IFLNK:
		var target string
		if target, err = readlink(w.old.path(name)); err == nil {
			err = os.NewSyscallError("symlinkat", unix.Symlinkat(target, w.to.fd(), name))
		}
	default:
		err = os.NewSyscallError("mknodat", unix.Mknodat(w.to.fd(), name, unix.S_IFCHR, 0))
	}
	if err != nil {
		return err
	}
	return w.metadata(w.old.path(name), w.to.path(name), old)
}

// link gives a file that New has already another name. It reports whether there was one.
func (w *walk) link(name string, old stat) (bool, error) {
	first, ok := w.links[inodeOf(old)]
	if !ok {
		var l link
		for _, level := range w.levels {
			l = append(l, level.name)
		}
		w.links[inodeOf(old)] = append(l, name)
		return false, nil
	}
	from, err := w.top()
	if err != nil {
		return false, err
	}
	defer func() { from.close() }()
	last := len(first) - 1
	for _, folder := range first[:last] {
		if err := from.down(folder); err != nil {
			return false, err
		}
	}
	return true, os.NewSyscallError("linkat", unix.Linkat(from.fd(), first[last], w.to.fd(), name, 0))
}

// file copies a regular file: as a clone, else with its holes.
func (w *walk) file(name string, old stat) error {
	from, err := w.old.read(name)
	if err != nil {
		return err
	}
	defer from.Close()
	fd, err := unix.Openat(w.to.fd(), name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return os.NewSyscallError("openat", err)
	}
	to := os.NewFile(uintptr(fd), name)
	sameCopying(from, to)
	if err := unix.IoctlFileClone(fd, int(from.Fd())); err != nil {
		if err := w.copy(from, to, int64(old.Size)); err != nil {
			return errors.Join(err, to.Close())
		}
	}
	return to.Close()
}

// noCopyOnWrite is FS_NOCOW_FL of include/uapi/linux/fs.h: files with it and without it do not share blocks.
const noCopyOnWrite = 0x00800000

// sameCopying has an empty file be written in place, as images of virtual machines are, if the other one is.
func sameCopying(from, to *os.File) {
	a, err := unix.IoctlGetUint32(int(from.Fd()), unix.FS_IOC_GETFLAGS)
	if err != nil || a&noCopyOnWrite == 0 {
		return
	}
	if b, err := unix.IoctlGetUint32(int(to.Fd()), unix.FS_IOC_GETFLAGS); err == nil {
		// Where it fails the file is copied, and not cloned.
		_ = unix.IoctlSetPointerInt(int(to.Fd()), unix.FS_IOC_SETFLAGS, int(b|noCopyOnWrite))
	}
}

// copy copies what is not a hole (lseek(2)).
func (w *walk) copy(from, to *os.File, size int64) error {
	buf := make([]byte, 256<<10)
	for at := int64(0); at < size; {
		data, err := unix.Seek(int(from.Fd()), at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			break
		}
		if err != nil {
			return os.NewSyscallError("lseek", err)
		}
		end, err := unix.Seek(int(from.Fd()), data, unix.SEEK_HOLE)
		if err != nil {
			return os.NewSyscallError("lseek", err)
		}
		for at = data; at < end; {
			if err := w.ctx.Err(); err != nil {
				return err
			}
			n, err := from.ReadAt(buf[:min(int64(len(buf)), end-at)], at)
			if n > 0 {
				if _, err := to.WriteAt(buf[:n], at); err != nil {
					return err
				}
			}
			at += int64(n)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return err
			}
		}
		at = max(at, end)
	}
	return to.Truncate(size)
}

// remove removes what has a name in the folder, and all below it.
func (c *cursor) remove(name string, st stat) error {
	if !isFolder(st) {
		return os.NewSyscallError("unlinkat", unix.Unlinkat(c.fd(), name, 0))
	}
	root, err := os.OpenRoot(c.self())
	if err != nil {
		return err
	}
	return errors.Join(root.RemoveAll(name), root.Close())
}

// metadata gives what a path of New leads to the owner, the mode, the extended attributes and the times of Old.
func (w *walk) metadata(from, to string, old stat) error {
	if err := unix.Lchown(to, moved(w.UID, int(old.Uid)), moved(w.GID, int(old.Gid))); err != nil {
		return os.NewSyscallError("lchown", err)
	}
	if kind(old) != unix.S_IFLNK { // after the owner, whose change takes setuid bits away
		if err := unix.Chmod(to, uint32(old.Mode)&0o7777); err != nil {
			return os.NewSyscallError("chmod", err)
		}
	}
	if err := w.attributes(from, to); err != nil {
		return err
	}
	times := []unix.Timespec{{Sec: old.Atime.Sec, Nsec: int64(old.Atime.Nsec)},
		{Sec: old.Mtime.Sec, Nsec: int64(old.Mtime.Nsec)}}
	return os.NewSyscallError("utimensat", unix.UtimesNanoAt(unix.AT_FDCWD, to, times, unix.AT_SYMLINK_NOFOLLOW))
}

// attributes has New have the extended attributes of Old and no others: a new file gets some from its folder.
func (w *walk) attributes(from, to string) error {
	want, err := attributes(from)
	if err != nil {
		return err
	}
	have, err := attributes(to)
	if err != nil {
		return err
	}
	for name := range have {
		if _, keep := want[name]; keep || name == "security.selinux" { // which no one may remove
			continue
		}
		if err := unix.Lremovexattr(to, name); err != nil && !errors.Is(err, unix.ENODATA) {
			return os.NewSyscallError("lremovexattr "+name, err)
		}
	}
	for name, value := range want {
		if slices.Contains([]string{"system.posix_acl_access", "system.posix_acl_default"}, name) {
			value = string(w.acl([]byte(value)))
		}
		if value == have[name] && value != "" {
			continue
		}
		if err := unix.Lsetxattr(to, name, []byte(value), 0); err != nil {
			return os.NewSyscallError("lsetxattr "+name, err)
		}
	}
	return nil
}
