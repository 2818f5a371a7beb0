package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// perFile is about what a file costs in a stream beside its content: the commands that make, name, own and date it.
const perFile = 320

// settleNested walks the copy for the stubs that nested subvolumes leave in a snapshot, and puts directories in
// their place. On the way it adds up what a full stream will have.
func (s *Source) settleNested(ctx context.Context, c *Copy, warn func(string)) error {
	var stubs []string
	err := filepath.WalkDir(c.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if !d.IsDir() && !d.Type().IsRegular() {
			return nil
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		c.Bytes += perFile
		if d.IsDir() && st.Ino == stubInode {
			stubs = append(stubs, path)
			return fs.SkipDir
		}
		if !d.IsDir() {
			c.Bytes += min(st.Size, st.Blocks*512) // a stream leaves holes out
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("looking for nested subvolumes: %w", err)
	}
	for _, stub := range stubs {
		rel, err := filepath.Rel(c.Dir, stub)
		if err != nil {
			return err
		}
		if err := makeDirectory(stub, filepath.Join(s.Dir, rel)); err != nil {
			return fmt.Errorf("%s is a nested subvolume: %w", filepath.Join(s.Dir, rel), err)
		}
		warn(fmt.Sprintf("%s is an empty subvolume; the image has an ordinary directory there",
			filepath.Join(s.Dir, rel)))
	}
	return nil
}

// makeDirectory replaces a stub by a directory like the empty subvolume that it stands for.
func makeDirectory(stub, subvolume string) error {
	from, err := os.OpenFile(subvolume, unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer from.Close()
	if _, err := from.ReadDir(1); err == nil {
		return fmt.Errorf("%w: it is not empty, and btrfs send leaves it out; move it elsewhere, "+
			"or make it an ordinary directory", ErrUnsuitable)
	} else if err != io.EOF {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(from.Fd()), &st); err != nil {
		return err
	}
	err = keepMtime(filepath.Dir(stub), func() error {
		return errors.Join(unix.Rmdir(stub), unix.Mkdir(stub, 0o700), unix.Lchown(stub, int(st.Uid), int(st.Gid)),
			unix.Chmod(stub, st.Mode&0o7777))
	})
	if err != nil {
		return err
	}
	if err := copyXattrs(from, stub); err != nil {
		return err
	}
	return unix.UtimesNanoAt(unix.AT_FDCWD, stub, []unix.Timespec{st.Atim, st.Mtim}, unix.AT_SYMLINK_NOFOLLOW)
}

func copyXattrs(from *os.File, to string) error {
	names := make([]byte, 1<<16) // XATTR_LIST_MAX
	n, err := unix.Flistxattr(int(from.Fd()), names)
	if err != nil {
		return err
	}
	for _, name := range splitNul(names[:n]) {
		value := make([]byte, 1<<16) // XATTR_SIZE_MAX
		k, err := unix.Fgetxattr(int(from.Fd()), name, value)
		if err != nil {
			return err
		}
		if err := unix.Lsetxattr(to, name, value[:k], 0); err != nil {
			return err
		}
	}
	return nil
}

func splitNul(b []byte) (out []string) {
	start := 0
	for i, c := range b {
		if c == 0 {
			out = append(out, string(b[start:i]))
			start = i + 1
		}
	}
	return out
}

// keepMtime does something inside the directory dir that its modification time shall not tell.
func keepMtime(dir string, do func() error) error {
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return err
	}
	return errors.Join(do(),
		unix.UtimesNanoAt(unix.AT_FDCWD, dir, []unix.Timespec{st.Atim, st.Mtim}, unix.AT_SYMLINK_NOFOLLOW))
}
