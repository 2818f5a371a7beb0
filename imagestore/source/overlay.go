package source

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// overlay is a stack of directories that a container sees as one.
type overlay struct {
	upper string   // what the container writes to
	lower []string // what it only reads, the highest first
}

// open lays the directories over one another as the container's kernel does, read-only. The mount is one that nobody
// else sees, and goes away when it is closed. What lies in the way of a name (":" parts them) is no matter: the kernel
// gets open directories.
func (o *overlay) open() (*os.File, error) {
	var names []string
	for _, dir := range append([]string{o.upper}, o.lower...) {
		f, err := os.OpenFile(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		names = append(names, viewPath(f))
	}
	fs, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("laying %s over %s: %w", o.upper, strings.Join(o.lower, ", "), err)
	}
	defer unix.Close(fs)
	mount := -1
	// xino gives all files the device number of the overlay, whichever file systems they are on.
	for _, option := range [][2]string{{"source", "overlay"}, {"lowerdir", strings.Join(names, ":")}, {"xino", "on"}} {
		if err == nil {
			err = unix.FsconfigSetString(fs, option[0], option[1])
		}
	}
	if err == nil {
		err = unix.FsconfigCreate(fs)
	}
	if err == nil {
		mount, err = unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_RDONLY)
	}
	if err != nil {
		return nil, fmt.Errorf("laying %s over %s: %w%s", o.upper, strings.Join(o.lower, ", "), err, said(fs))
	}
	return os.NewFile(uintptr(mount), o.upper), nil
}

// said gives what the kernel says of a mount that it refuses.
func said(fs int) string {
	b := make([]byte, 1024)
	if n, err := unix.Read(fs, b); err == nil && n > 0 {
		return " (" + strings.TrimSpace(string(b[:n])) + ")"
	}
	return ""
}

func (o *overlay) need(ctx context.Context, _ func(string)) (int64, error) {
	return needOf(ctx, o.open)
}

func (o *overlay) write(ctx context.Context, w io.Writer, c *Copy, free int64) error {
	return writeTree(ctx, w, c, o.open)
}
