package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// newRoot is where the root is mounted until it becomes /.
const newRoot = "/root"

// kernelMounts are the filesystems of the kernel itself, which move into the root.
var kernelMounts = []struct {
	kind, at string
	flags    uintptr
}{
	{"devtmpfs", "/dev", unix.MS_NOSUID},
	{"proc", "/proc", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC},
	{"sysfs", "/sys", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC},
}

func mountKernel() error {
	for _, m := range kernelMounts {
		if err := unix.Mount(m.kind, m.at, m.kind, m.flags, ""); err != nil {
			return fmt.Errorf("mounting %s: %w", m.at, err)
		}
	}
	return nil
}

// mountRoot mounts the root at newRoot. The kernel asks for the module of btrfs itself, and is given all
// devices of a mirror: nothing else names them.
func mountRoot(root found, o options) error {
	flags, data := mountFlags(o.flags, o.write)
	data = mirrorFlags(data, root)
	node := root.nodes[0]
	err := unix.Mount(node, newRoot, "btrfs", flags, data)
	if errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("mounting the root from %s: it has no such subvolume: rootflags=%s", node, o.flags)
	}
	if err != nil {
		return fmt.Errorf("mounting the root from %s with rootflags=%s: %w", node, o.flags, err)
	}
	return nil
}

// enter makes newRoot the root of everything, as switch_root(8) does, and becomes its init. The program gets the
// arguments and the environment that the kernel gave this one. It returns only with an error.
func enter(program string) error {
	if _, err := os.Lstat(newRoot + program); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("starting %s: the root does not have it; an image needs an init system, such as systemd-sysv",
			program)
	}
	for _, m := range kernelMounts {
		_ = os.Mkdir(newRoot+m.at, 0o755) // of a container's tree that lacks it; else Mount says so
		if err := unix.Mount(m.at, newRoot+m.at, "", unix.MS_MOVE, ""); err != nil {
			return fmt.Errorf("moving %s into the root: %w", m.at, err)
		}
	}
	// Until the last program of the initrd ends, its files take memory.
	for _, name := range []string{"/lib", "/sbin", "/init"} {
		if err := os.RemoveAll(name); err != nil {
			return fmt.Errorf("emptying the initrd: %w", err)
		}
	}
	if err := unix.Chdir(newRoot); err != nil {
		return fmt.Errorf("entering the root: %w", err)
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("entering the root: %w", err)
	}
	if err := unix.Chroot("."); err != nil {
		return fmt.Errorf("entering the root: %w", err)
	}
	if err := unix.Chdir("/"); err != nil {
		return fmt.Errorf("entering the root: %w", err)
	}
	err := unix.Exec(program, append([]string{program}, os.Args[1:]...), os.Environ())
	return fmt.Errorf("starting %s: %w", program, err)
}
