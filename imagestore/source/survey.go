package source

import (
	"context"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// stamp is what tells that a path was not changed: every change of a file, its content, its attributes or its names
// sets the time.
type stamp struct {
	path  string
	ino   uint64
	size  int64
	ctime unix.Timespec
}

// survey is what a tree was at a time.
type survey struct {
	stamps []stamp // in the order of the walk, which is that of the directories
	bytes  int64   // that it takes
}

// take walks a tree. A subvolume in it is refused.
func take(ctx context.Context, root *os.File) (*survey, error) {
	s := &survey{}
	var st unix.Stat_t
	if err := unix.Fstat(int(root.Fd()), &st); err != nil {
		return nil, fmt.Errorf("looking at %s: %w", root.Name(), err)
	}
	s.add("", &st)
	// root may be open as a path alone
	fd, err := unix.Openat(int(root.Fd()), ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", root.Name(), err)
	}
	dir := os.NewFile(uintptr(fd), root.Name())
	defer dir.Close()
	return s, s.directory(ctx, dir, "", root.Name())
}

func (s *survey) add(path string, st *unix.Stat_t) {
	s.stamps = append(s.stamps, stamp{path, st.Ino, st.Size, st.Ctim})
	s.bytes += st.Blocks*512 + perFile
}

func (s *survey) directory(ctx context.Context, dir *os.File, path, top string) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return fmt.Errorf("reading %s/%s: %w", top, path, err)
	}
	for _, name := range names {
		below := strings.TrimPrefix(path+"/"+name, "/")
		var st unix.Stat_t
		if err := unix.Fstatat(int(dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW); err == unix.ENOENT {
			continue // it has just gone, which the other survey tells
		} else if err != nil {
			return fmt.Errorf("looking at %s/%s: %w", top, below, err)
		}
		s.add(below, &st)
		if st.Mode&unix.S_IFMT != unix.S_IFDIR {
			continue
		}
		fd, err := unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err == unix.ENOENT || err == unix.ENOTDIR || err == unix.ELOOP {
			continue
		} else if err != nil {
			return fmt.Errorf("opening %s/%s: %w", top, below, err)
		}
		f := os.NewFile(uintptr(fd), below)
		if st.Ino == rootInode && isBtrfs(f) {
			err = fmt.Errorf("%w: %s/%s is a nested subvolume; move it elsewhere, or make it an ordinary directory",
				ErrUnsuitable, top, below)
		} else {
			err = s.directory(ctx, f, below, top)
		}
		f.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

func isBtrfs(f *os.File) bool {
	var fs unix.Statfs_t
	return unix.Fstatfs(int(f.Fd()), &fs) == nil && fs.Type == unix.BTRFS_SUPER_MAGIC
}

// changed gives the first path that is not in b as it is in s, or the reverse, and the number of them. Of a file and
// its directory that is the file.
func (s *survey) changed(b *survey) (path string, n int) {
	was := make(map[string]stamp, len(s.stamps))
	for _, st := range s.stamps {
		was[st.path] = st
	}
	note := func(p string) {
		if n++; path == "" || strings.HasPrefix(p, path+"/") {
			path = p
		}
	}
	for _, now := range b.stamps {
		if was[now.path] != now {
			note(now.path)
		}
		delete(was, now.path)
	}
	for p := range was {
		note(p)
	}
	return path, n
}
