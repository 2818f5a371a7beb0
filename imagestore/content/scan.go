package content

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrForeign is wrapped by the errors of Scan, Walk and Root if a part of the tree is on another filesystem or
// subvolume, which a manifest cannot describe.
var ErrForeign = errors.New("it is another filesystem or subvolume")

// emptySubvolume is the inode number of the directory that a btrfs snapshot shows where a subvolume was nested in its
// source (BTRFS_EMPTY_SUBVOL_DIR_OBJECTID). A send stream leaves it out.
const emptySubvolume = 2

// Scan calls visit for every path of the tree below dir, in the order of a manifest, with its entry without SHA256
// and Xattrs, for which there is Root. The entries are visit's to keep. It follows no symbolic link; a mount or a
// nested subvolume ends it with ErrForeign and the name of the thing, a path longer than MaxPath with an error, too.
// The tree must not change meanwhile. One directory for each level of the tree is open at a time.
func Scan(ctx context.Context, dir string, visit func(*Entry) error) error {
	root, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("walking a tree: %w", &os.PathError{Op: "open", Path: dir, Err: err})
	}
	defer unix.Close(root)
	s := &scanner{ctx: ctx, visit: visit, links: map[uint64]string{}, buf: make([]byte, 64<<10)}
	if err := s.root(root); err != nil {
		return fmt.Errorf("walking %s: %w", dir, err)
	}
	return nil
}

type scanner struct {
	ctx   context.Context
	visit func(*Entry) error
	dev   uint64
	btrfs bool
	links map[uint64]string // the first path of each inode that has several
	count int
	buf   []byte
}

func (s *scanner) root(fd int) error {
	var fs unix.Statfs_t
	var st unix.Stat_t
	if err := errors.Join(unix.Fstatfs(fd, &fs), unix.Fstat(fd, &st)); err != nil {
		return err
	}
	s.btrfs, s.dev = fs.Type == unix.BTRFS_SUPER_MAGIC, st.Dev
	e := entryOf(".", &st)
	if err := s.visit(&e); err != nil {
		return err
	}
	return s.directory(fd, ".")
}

// step is one thing to do in a directory: to visit what has a name, or to go into it. The paths below "a" come after
// "a-b" and before "a0", since that is how "/" sorts, so that a directory has two steps.
type step struct {
	key  string // name, with "/" behind it for going into it
	at   int    // among the entries
	into bool
}

func (s *scanner) directory(fd int, path string) error {
	if err := s.ctx.Err(); err != nil {
		return err
	}
	entries, links, err := s.list(fd, path)
	if err != nil {
		return err
	}
	steps := make([]step, 0, len(entries))
	for i, e := range entries {
		name := e.Path[strings.LastIndexByte(e.Path, '/')+1:]
		steps = append(steps, step{name, i, false})
		if e.Type == Directory {
			steps = append(steps, step{name + "/", i, true})
		}
	}
	slices.SortFunc(steps, func(a, b step) int { return strings.Compare(a.key, b.key) })
	for _, next := range steps {
		e := entries[next.at]
		if next.into {
			err = s.into(fd, next.key[:len(next.key)-1], e.Path)
			entries[next.at] = nil
		} else {
			if ino, several := links[next.at]; several {
				s.link(e, ino)
			}
			if s.count++; s.count > MaxEntries {
				return fmt.Errorf("more than %d paths", MaxEntries)
			}
			err = s.visit(e)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// link makes e a hard link where its inode had a name before.
func (s *scanner) link(e *Entry, ino uint64) {
	if first, ok := s.links[ino]; ok {
		*e = Entry{Path: e.Path, Type: HardLink, Target: first}
	} else {
		s.links[ino] = e.Path
	}
}

func (s *scanner) into(fd int, name, path string) error {
	sub, err := unix.Openat(fd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("opening %s: %w", escape(path), err)
	}
	defer unix.Close(sub)
	var st unix.Stat_t
	if err := unix.Fstat(sub, &st); err != nil {
		return fmt.Errorf("looking at %s: %w", escape(path), err)
	}
	if st.Dev != s.dev {
		return fmt.Errorf("%s: %w", escape(path), ErrForeign)
	}
	return s.directory(sub, path)
}

// list gives an entry for each name in the directory, in no order, and the inode numbers of those that have several
// names.
func (s *scanner) list(fd int, dir string) ([]*Entry, map[int]uint64, error) {
	var entries []*Entry
	var links map[int]uint64
	names := make([]string, 0, 64)
	for {
		n, err := unix.ReadDirent(fd, s.buf)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, nil, fmt.Errorf("reading directory %s: %w", escape(dir), err)
		}
		if n == 0 {
			return entries, links, nil
		}
		_, _, names = unix.ParseDirent(s.buf[:n], -1, names[:0])
		for _, name := range names {
			e, ino, err := s.entry(fd, dir, name)
			if err != nil {
				return nil, nil, err
			}
			if ino != 0 {
				if links == nil {
					links = map[int]uint64{}
				}
				links[len(entries)] = ino
			}
			entries = append(entries, e)
		}
	}
}

// entry describes a name in the directory; ino is zero where it is the only one of its inode.
func (s *scanner) entry(fd int, dir, name string) (e *Entry, ino uint64, err error) {
	path := name
	if dir != "." {
		path = dir + "/" + name
	}
	if len(path) > MaxPath {
		return nil, 0, fmt.Errorf("%.60s…: the path has %d bytes, more than %d", escape(path), len(path), MaxPath)
	}
	var st unix.Stat_t
	if err := unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return nil, 0, fmt.Errorf("looking at %s: %w", escape(path), err)
	}
	if st.Dev != s.dev || s.btrfs && st.Ino == emptySubvolume && st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return nil, 0, fmt.Errorf("%s: %w", escape(path), ErrForeign)
	}
	made := entryOf(path, &st)
	if made.Type == 0 {
		return nil, 0, fmt.Errorf("looking at %s: mode %o is of no known type", escape(path), st.Mode)
	}
	if made.Type == Symlink {
		// the names in buf are strings of their own by now
		n, err := unix.Readlinkat(fd, name, s.buf[len(s.buf)-MaxPath-1:])
		if err != nil {
			return nil, 0, fmt.Errorf("reading the link %s: %w", escape(path), err)
		}
		made.Target = string(s.buf[len(s.buf)-MaxPath-1:][:n])
	}
	if made.Type != Directory && st.Nlink > 1 {
		ino = st.Ino
	}
	return &made, ino, nil
}

// entryOf is what stat(2) tells of a path.
func entryOf(path string, st *unix.Stat_t) Entry {
	e := Entry{Path: path, Type: typeOf(st.Mode), Mode: st.Mode & 0o7777, UID: st.Uid, GID: st.Gid,
		Mtime: Time{st.Mtim.Sec, int32(st.Mtim.Nsec)}}
	switch e.Type {
	case Regular:
		e.Size = st.Size
	case Symlink:
		e.Mode = 0o777
	case BlockDevice, CharDevice:
		e.Major, e.Minor = unix.Major(st.Rdev), unix.Minor(st.Rdev)
	}
	return e
}
