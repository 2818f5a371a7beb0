// Package durable has the file operations of the store, whose order makes sure that a power cut leaves the old or the
// new content, whole.
//
// Call Create for a small file that must not exist yet, Replace for one that may, and MkdirAll for directories. To
// stream into a file use CreateTemp, File.Sync, Disk.Rename and Disk.SyncDir, in this order. The zero Disk is the
// real one.
//
// What is durable after which call, on the file systems of Linux (fsync(2), and the worst of what POSIX allows):
//
//	+---------------------------+------------------------------------------------------------+
//	| Write, WriteAt, Truncate  | after Sync of the file; until then any part of it may stay |
//	| Chmod, Chtimes            | after Sync of the file                                     |
//	| Mkdir, a new file's name  | after SyncDir of the directory that holds the name         |
//	| Rename, Link, Remove      | after SyncDir of each directory that they change           |
//	+---------------------------+------------------------------------------------------------+
//
// Every operation calls Disk.Before first, if it is set: a test records the trace, works out what a power cut at any
// point may leave, or has the operation fail. Reading a file's content calls Disk.Reading, so that it can fail too;
// it is not part of a trace.
package durable

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Kind is the kind of an operation.
type Kind string

// The kinds of Op.
const (
	Create   Kind = "create"   // a file, where it does not exist
	Write    Kind = "write"    // Data at Offset
	Truncate Kind = "truncate" // to Offset bytes
	Chmod    Kind = "chmod"
	Chtimes  Kind = "times"
	Sync     Kind = "fsync"
	Mkdir    Kind = "mkdir"
	Rename   Kind = "rename" // Path to To, over what is there
	Link     Kind = "link"   // To becomes another name of Path, unless it exists
	Remove   Kind = "remove"
	SyncDir  Kind = "fsyncdir"
	Lock     Kind = "lock"
)

// Op is one operation.
type Op struct {
	Kind   Kind
	Path   string // as it was given
	To     string // of Rename and Link
	Offset int64  // bytes, of Write and Truncate
	Data   []byte // of Write; valid until Before returns
}

// Disk carries out operations. Its methods may be called from any number of goroutines.
type Disk struct {
	// Before, if any, is called before each operation. An error that it returns becomes the operation's, which is then
	// not carried out; but where it made Op.Data shorter first, that much is written: what a full disk does.
	Before func(*Op) error

	// Reading, if any, is called with a file's path before each read of its content. An error that it returns becomes
	// the read's.
	Reading func(path string) error
}

func (d Disk) reading(path string) error {
	if d.Reading == nil {
		return nil
	}
	if err := d.Reading(path); err != nil {
		return &fs.PathError{Op: "read", Path: path, Err: err}
	}
	return nil
}

// ReadFile is os.ReadFile.
func (d Disk) ReadFile(path string) ([]byte, error) {
	if err := d.reading(path); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
}

// before announces an operation. what is left of the data of a failed Write comes back in o.
func (d Disk) before(o *Op) error {
	if d.Before == nil {
		return nil
	}
	if err := d.Before(o); err != nil {
		return &fs.PathError{Op: string(o.Kind), Path: o.Path, Err: err}
	}
	return nil
}

// Mkdir makes one directory.
func (d Disk) Mkdir(path string, mode fs.FileMode) error {
	if err := d.before(&Op{Kind: Mkdir, Path: path}); err != nil {
		return err
	}
	return os.Mkdir(path, mode)
}

// MkdirAll makes a directory and missing ones above it, durably when it returns. The name of path is synced even if
// it exists, since the process that made it may have died before that; only if the directory above can be read by its
// owner alone, that is left to the owner.
func (d Disk) MkdirAll(path string, mode fs.FileMode) error {
	path = filepath.Clean(path)
	up := filepath.Dir(path)
	i, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		if up != path {
			if _, err := os.Stat(up); errors.Is(err, fs.ErrNotExist) {
				if err := d.MkdirAll(up, mode); err != nil {
					return err
				}
			}
		}
		if err := d.Mkdir(path, mode); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		return d.SyncDir(up)
	}
	if err != nil {
		return err
	}
	if !i.IsDir() {
		return &fs.PathError{Op: "mkdir", Path: path, Err: unix.ENOTDIR}
	}
	if err := d.SyncDir(up); !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return nil
}

// Rename gives a file another name, and replaces a file that has it.
func (d Disk) Rename(from, to string) error {
	if err := d.before(&Op{Kind: Rename, Path: from, To: to}); err != nil {
		return err
	}
	return os.Rename(from, to)
}

// Link gives a file a further name; fs.ErrExist if that name is taken.
func (d Disk) Link(from, to string) error {
	if err := d.before(&Op{Kind: Link, Path: from, To: to}); err != nil {
		return err
	}
	return os.Link(from, to)
}

// Remove removes a file's name, or an empty directory.
func (d Disk) Remove(path string) error {
	if err := d.before(&Op{Kind: Remove, Path: path}); err != nil {
		return err
	}
	return os.Remove(path)
}

// Chtimes sets a file's modification time.
func (d Disk) Chtimes(path string, t time.Time) error {
	if err := d.before(&Op{Kind: Chtimes, Path: path}); err != nil {
		return err
	}
	return os.Chtimes(path, t, t)
}

// SyncDir makes the names in a directory durable.
func (d Disk) SyncDir(path string) error {
	if err := d.before(&Op{Kind: SyncDir, Path: path}); err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return fmt.Errorf("syncing directory %s: %w", path, err)
	}
	return nil
}

// Lock takes the lock (flock) of the file path, which it makes if it is missing, and waits for it until ctx ends. The
// lock ends with unlock, or with the process.
func (d Disk) Lock(ctx context.Context, path string) (unlock func(), err error) {
	f, err := d.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	if err := d.before(&Op{Kind: Lock, Path: path}); err != nil {
		f.Close()
		return nil, err
	}
	for wait := time.Millisecond; ; wait = min(2*wait, 100*time.Millisecond) {
		err := unix.Flock(int(f.f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if err != unix.EWOULDBLOCK && err != unix.EINTR {
			f.Close()
			return nil, &fs.PathError{Op: "flock", Path: path, Err: err}
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("another process holds %s: %w", path, ctx.Err())
		}
	}
}

// String is a line of a trace: the kind, the paths, and of a Write how many bytes go where.
func (o Op) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", o.Kind, o.Path)
	switch o.Kind {
	case Rename, Link:
		fmt.Fprintf(&b, " -> %s", o.To)
	case Write:
		fmt.Fprintf(&b, " %d+%d", o.Offset, len(o.Data))
	case Truncate:
		fmt.Fprintf(&b, " %d", o.Offset)
	}
	return b.String()
}
