package chroot

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// enter makes the tree the root of this process, which has a mount namespace of its own. The filesystem of the new
// system may be mounted without programs here; it is not for its own.
func (r Root) enter() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("separating mounts: %w", err)
	}
	tree, err := unix.OpenTree(unix.AT_FDCWD, r.Dir, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
	if err != nil {
		return fmt.Errorf("opening %s: %w", r.Dir, err)
	}
	defer unix.Close(tree)
	err = unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &unix.MountAttr{
		Attr_set: unix.MOUNT_ATTR_NODEV, Attr_clr: unix.MOUNT_ATTR_NOEXEC | unix.MOUNT_ATTR_NOSUID})
	if err != nil {
		return fmt.Errorf("allowing programs in %s: %w", r.Dir, err)
	}
	// Over the root, as at a system's start (switch_root(8)): below it there is nothing to climb to.
	if err := unix.MoveMount(tree, "", unix.AT_FDCWD, "/", unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("mounting %s: %w", r.Dir, err)
	}
	if err := errors.Join(unix.Fchdir(tree), unix.Chroot("."), unix.Chdir("/")); err != nil {
		return fmt.Errorf("entering %s: %w", r.Dir, err)
	}
	unix.Umask(0o022)
	return nil
}

// place makes what the program finds beside the tree. From here on every path is one of the root.
func (o order) place() error {
	const safe = unix.MS_NOSUID | unix.MS_NODEV
	for _, m := range []struct {
		kind, dir string
		flags     uintptr
		options   string
	}{
		{"proc", "/proc", safe | unix.MS_NOEXEC, ""},
		{"sysfs", "/sys", safe | unix.MS_NOEXEC | unix.MS_RDONLY, ""},
		{"tmpfs", "/run", safe, "mode=0755,size=32m"},
		{"tmpfs", "/dev", unix.MS_NOSUID | unix.MS_NOEXEC, "mode=0755,size=1m"},
		{"devpts", "/dev/pts", unix.MS_NOSUID | unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5"},
		{"tmpfs", "/dev/shm", safe, "mode=1777,size=32m"},
	} {
		if err := os.MkdirAll(m.dir, 0o755); err != nil {
			return fmt.Errorf("mounting %s: %w", m.dir, err)
		}
		if err := unix.Mount(m.kind, m.dir, m.kind, m.flags, m.options); err != nil {
			return fmt.Errorf("mounting %s: %w", m.dir, err)
		}
	}
	if err := devices(); err != nil {
		return fmt.Errorf("making /dev: %w", err)
	}
	if err := errors.Join(os.Mkdir("/run/lock", 0o755), os.Chmod("/run/lock", 0o777|fs.ModeSticky)); err != nil {
		return err
	}
	for _, f := range o.Files {
		if err := put(f); err != nil {
			return err
		}
	}
	if o.Root.Hostname != "" {
		if err := unix.Sethostname([]byte(o.Root.Hostname)); err != nil {
			return fmt.Errorf("setting the hostname: %w", err)
		}
	}
	if o.Root.Resolv != nil {
		return resolv(o.Root.Resolv)
	}
	return nil
}

// devices makes the nodes that every program may expect (Documentation/admin-guide/devices.txt).
func devices() error {
	for name, minor := range map[string]uint32{"null": 3, "zero": 5, "full": 7, "random": 8, "urandom": 9, "tty": 0} {
		major := uint32(1)
		if name == "tty" {
			major = 5
		}
		path := "/dev/" + name
		if err := unix.Mknod(path, unix.S_IFCHR|0o666, int(unix.Mkdev(major, minor))); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := os.Chmod(path, 0o666); err != nil {
			return err
		}
	}
	for name, target := range map[string]string{"ptmx": "pts/ptmx", "fd": "/proc/self/fd", "stdin": "/proc/self/fd/0",
		"stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"} {
		if err := os.Symlink(target, "/dev/"+name); err != nil {
			return err
		}
	}
	return nil
}

// put makes a file that only root reaches.
func put(f File) error {
	if !strings.HasPrefix(f.Path, "/run/") || filepath.Clean(f.Path) != f.Path {
		return fmt.Errorf("making %s: it is not below /run", f.Path)
	}
	if err := os.MkdirAll(filepath.Dir(f.Path), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(f.Path, f.Data, f.Mode); err != nil {
		return err
	}
	return os.Chmod(f.Path, f.Mode)
}

// resolv mounts data over /etc/resolv.conf. Where that is a symlink into /run, it writes the file that the link names.
// Without either, programs find no servers, and what they cannot do then they say.
func resolv(data []byte) error {
	const name, copied = "/etc/resolv.conf", "/run/griddle-resolv.conf"
	if target, err := os.Readlink(name); err == nil {
		if !filepath.IsAbs(target) {
			target = filepath.Join("/etc", target)
		}
		target = strings.TrimPrefix(target, "/var")
		if strings.HasPrefix(target, "/run/") {
			return errors.Join(os.MkdirAll(filepath.Dir(target), 0o755), os.WriteFile(target, data, 0o644))
		}
	}
	if err := os.WriteFile(copied, data, 0o644); err != nil {
		return err
	}
	err := unix.Mount(copied, name, "", unix.MS_BIND, "")
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return nil
	}
	return err
}
