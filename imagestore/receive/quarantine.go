package receive

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"griddle/imagestore/sendstream"
)

// quarantinePrefix begins the names of trees that are not whole. The process that makes one holds a lock (flock) on its
// root, and a shared one on the directory while it makes it, so that a tree without a lock is one that was left behind.
const quarantinePrefix = ".griddle-incoming-"

// A quarantine is the tree while it has no name yet.
type quarantine struct {
	dir       int
	root      int
	name      string // in dir
	subvolume bool
	btrfs     bool
}

// startQuarantine makes the tree that the first command asks for: empty, or as its parent.
func startQuarantine(dir string, first *step, o Options) (q *quarantine, err error) {
	if first.Op != sendstream.OpSubvol && first.Op != sendstream.OpSnapshot {
		return nil, fmt.Errorf("%w: a stream begins with a subvolume or a snapshot", sendstream.ErrMalformed)
	}
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	q = &quarantine{dir: fd, root: -1, name: quarantinePrefix + strings.ToLower(rand.Text())}
	defer func() {
		if err != nil {
			err = errors.Join(err, q.remove())
		}
	}()
	var st unix.Stat_t
	if err := unix.Fstatat(fd, o.Name, &st, unix.AT_SYMLINK_NOFOLLOW); err == nil {
		return q, &os.PathError{Op: "making", Path: filepath.Join(dir, o.Name), Err: unix.EEXIST}
	}
	if q.btrfs, err = onBtrfs(fd); err != nil {
		return q, err
	}
	q.subvolume = q.btrfs && !o.Plain
	if first.Op == sendstream.OpSubvol {
		return q, q.make(-1)
	}
	p, err := findParent(o.Parents, first)
	if err != nil {
		return q, err
	}
	parent, err := openParent(p)
	if err != nil {
		return q, err
	}
	defer unix.Close(parent)
	if subvolume, err := isSubvolume(parent); err != nil {
		return q, err
	} else if subvolume && q.subvolume {
		// EXDEV: it is one of another btrfs.
		if err := q.make(parent); !errors.Is(err, unix.EXDEV) {
			return q, err
		}
	}
	if err := q.make(-1); err != nil {
		return q, err
	}
	if err := copyTree(parent, q.root); err != nil {
		return q, fmt.Errorf("copying parent %s: %w", p.Dir, err)
	}
	return q, nil
}

// make makes the tree's root, as a snapshot of parent or else empty, and locks it.
func (q *quarantine) make(parent int) (err error) {
	if err := unix.Flock(q.dir, unix.LOCK_SH); err != nil {
		return os.NewSyscallError("flock", err)
	}
	defer unix.Flock(q.dir, unix.LOCK_UN)
	switch {
	case parent >= 0:
		err = createSnapshot(q.dir, q.name, parent)
	case q.subvolume:
		err = createSubvolume(q.dir, q.name)
	default:
		err = at("making", q.name, unix.Mkdirat(q.dir, q.name, 0o700))
	}
	if err != nil {
		return err
	}
	if q.root, err = openBeneath(q.dir, q.name, unix.O_RDONLY|unix.O_DIRECTORY, 0); err != nil {
		return errors.Join(err, removeTree(q.dir, q.name))
	}
	if !q.subvolume {
		// What dir passes on is no part of the stream.
		for _, name := range []string{"system.posix_acl_default", "system.posix_acl_access"} {
			if hasXattr(q.root, name) {
				if err := unix.Fremovexattr(q.root, name); err != nil {
					return os.NewSyscallError("fremovexattr", err)
				}
			}
		}
	}
	return os.NewSyscallError("flock", unix.Flock(q.root, unix.LOCK_EX|unix.LOCK_NB))
}

// dup gives another descriptor of the root, or -1.
func (q *quarantine) dup() int {
	fd, err := unix.FcntlInt(uintptr(q.root), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return -1
	}
	return fd
}

// finish seals the tree, brings it to disk and gives it its name.
func (q *quarantine) finish(name string, uuid sendstream.UUID, ctransid uint64) error {
	if q.subvolume {
		if err := sealSubvolume(q.root, uuid, ctransid); err != nil {
			return err
		}
	}
	if err := unix.Syncfs(q.root); err != nil {
		return os.NewSyscallError("syncfs", err)
	}
	if err := unix.Renameat2(q.dir, q.name, q.dir, name, unix.RENAME_NOREPLACE); err != nil {
		return &os.LinkError{Op: "rename", Old: q.name, New: name, Err: err}
	}
	if err := unix.Fsync(q.dir); err != nil {
		q.name = name // it counts as not there
		return os.NewSyscallError("fsync", err)
	}
	unix.Close(q.root)
	unix.Close(q.dir)
	return nil
}

// remove takes the tree away, where it was made.
func (q *quarantine) remove() (err error) {
	if q.root >= 0 {
		err = removeTree(q.dir, q.name)
		unix.Close(q.root)
	}
	unix.Close(q.dir)
	return err
}

// RemoveLeftovers removes what killed receives left in dir. It leaves trees alone that a living process is making. It
// continues after an error, and returns all errors.
func RemoveLeftovers(dir string) error {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("removing unfinished receives: %w", &os.PathError{Op: "open", Path: dir, Err: err})
	}
	defer unix.Close(fd)
	if err := unix.Flock(fd, unix.LOCK_EX); err != nil {
		return fmt.Errorf("removing unfinished receives in %s: %w", dir, os.NewSyscallError("flock", err))
	}
	entries, err := os.ReadDir(dir)
	errs := []error{err}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), quarantinePrefix) && e.IsDir() {
			errs = append(errs, removeLeftover(fd, e.Name()))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("removing unfinished receives in %s: %w", dir, err)
	}
	return nil
}

func removeLeftover(dir int, name string) error {
	root, err := openBeneath(dir, name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil
	} else if err != nil {
		return err
	}
	defer unix.Close(root)
	if err := unix.Flock(root, unix.LOCK_EX|unix.LOCK_NB); err == unix.EWOULDBLOCK {
		return nil
	} else if err != nil {
		return os.NewSyscallError("flock", err)
	}
	return removeTree(dir, name)
}
