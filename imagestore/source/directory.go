package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"griddle/imagestore/delta"

	"golang.org/x/sys/unix"
)

// attempts is how often a directory is copied that changes meanwhile.
const attempts = 3

// directory is a directory that no snapshot can be taken of.
type directory struct{ dir string }

// open gives a view of the directory as its file system has it, without what is mounted below. The view is a mount that
// no one else sees, and goes away when it is closed.
func (d *directory) open() (*os.File, error) {
	fd, err := unix.OpenTree(unix.AT_FDCWD, d.dir, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("looking below the mounts of %s: %w", d.dir, err)
	}
	return os.NewFile(uintptr(fd), d.dir), nil
}

func (d *directory) need(ctx context.Context, warn func(string)) (int64, error) {
	mounts, err := mountsBelow(d.dir)
	if err != nil {
		return 0, err
	}
	for _, m := range mounts {
		warn(m + " is another filesystem, and is not part of the image")
	}
	return needOf(ctx, d.open)
}

func (d *directory) write(ctx context.Context, w io.Writer, c *Copy, free int64) error {
	return writeTree(ctx, w, c, d.open)
}

// mountsBelow lists what is mounted below a directory (proc_pid_mountinfo(5): the fifth field, with octal escapes).
func mountsBelow(dir string) ([]string, error) {
	info, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var all []string
	for line := range strings.Lines(string(info)) {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		at := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(fields[4])
		if rel, ok := strings.CutPrefix(at, strings.TrimSuffix(dir, "/")+"/"); ok && rel != "" {
			all = append(all, at)
		}
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// opener gives a view of a tree, to be closed.
type opener func() (*os.File, error)

// viewPath is a name for what f is open on. (A path of its own it may have none.)
func viewPath(f *os.File) string { return fmt.Sprintf("/proc/self/fd/%d", f.Fd()) }

// needOf adds up the room that a tree takes.
func needOf(ctx context.Context, open opener) (int64, error) {
	root, err := open()
	if err != nil {
		return 0, err
	}
	defer root.Close()
	s, err := take(ctx, root)
	if err != nil {
		return 0, err
	}
	return s.bytes, nil
}

// writeTree writes the tree as a full stream. What was written counts only if nothing has changed meanwhile: no file,
// no directory and no owner.
func writeTree(ctx context.Context, w io.Writer, c *Copy, open opener) error {
	root, err := open()
	if err != nil {
		return err
	}
	defer root.Close()
	before, err := take(ctx, root)
	if err != nil {
		return err
	}
	_, werr := delta.WriteFull(ctx, w, viewPath(root), c.UUID, c.Ctransid, delta.Options{Name: c.Name, Unsummed: true})
	if werr != nil && ctx.Err() != nil {
		return werr
	}
	after, err := take(ctx, root)
	if err != nil {
		return errors.Join(werr, err)
	}
	if path, n := before.changed(after); n > 0 {
		return fmt.Errorf("%w: %s%s", ErrChanged, filepath.Join(root.Name(), path), more(n-1))
	}
	return werr
}

func more(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(", and %d more", n)
}
