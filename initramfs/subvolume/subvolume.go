// Package subvolume reads, makes, copies and deletes subvolumes of a btrfs filesystem, and mounts its top where no one
// else sees it.
//
// Call Top with the device file of the filesystem, and Read or Delete with what is below Mounted.Dir. Close unmounts.
//
// Guarantees: a mount of this package is not in the tree of folders, so no other process meets it, and the kernel
// takes it away when this program ends, however that is. Delete works from the inside to the outside: a crash leaves a
// subvolume without some of those that are in it, and another Delete completes the rest.
//
// Sources: the kernel's include/uapi/linux/btrfs.h (Linux 4.18 for what is asked here), fsopen(2), fsmount(2) (Linux
// 5.2).
package subvolume

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ErrOther means that a folder is not a subvolume.
var ErrOther = errors.New("it is not a subvolume")

// ID is the UUID of a subvolume; zero for none.
type ID [16]byte

// Info is what the kernel knows of a subvolume.
type Info struct {
	ID       ID
	Parent   ID     // of which it is a snapshot
	Received ID     // of the subvolume that was sent to make it
	Sent     uint64 // its transaction, then
	Created  time.Time
	ReadOnly bool
	Device   uint64 // the number of the device that files in it report, on every mount
}

// rootInode is the inode number of the top of every subvolume (BTRFS_FIRST_FREE_OBJECTID).
const rootInode = 256

// Read asks for the subvolume at dir, which is not followed if it is a symlink. Other things than subvolumes are
// ErrOther.
func Read(dir string) (Info, error) {
	f, st, err := open(dir)
	if err != nil {
		return Info{}, err
	}
	defer f.Close()
	var a infoArgs
	if err := a.ask(f); err != nil {
		return Info{}, fmt.Errorf("asking for the subvolume %s: %w", dir, err)
	}
	i := Info{ID: ID(a[296:312]), Parent: ID(a[312:328]), Received: ID(a[328:344]),
		Sent: binary.NativeEndian.Uint64(a[360:]), Device: st.Dev,
		ReadOnly: binary.NativeEndian.Uint64(a[288:])&readOnly != 0}
	if s := binary.NativeEndian.Uint64(a[392:]); s > 0 {
		i.Created = time.Unix(int64(s), int64(binary.NativeEndian.Uint32(a[400:]))).UTC()
	}
	return i, nil
}

// Filesystem is the UUID of the filesystem at dir.
func Filesystem(dir string) (ID, error) {
	f, err := os.Open(dir)
	if err != nil {
		return ID{}, err
	}
	defer f.Close()
	var a [1024]byte // max_id 8, num_devices 8, fsid 16
	if err := ioctl(f, iocFilesystem, unsafe.Pointer(&a)); err != nil {
		return ID{}, fmt.Errorf("asking for the filesystem at %s: %w", dir, err)
	}
	return ID(a[16:32]), nil
}

// open opens a subvolume, and nothing else.
func open(dir string) (*os.File, unix.Stat_t, error) {
	var st unix.Stat_t
	f, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return nil, st, fmt.Errorf("opening %s: %w", dir, ErrOther)
	}
	if err != nil {
		return nil, st, err
	}
	var fs unix.Statfs_t
	err = errors.Join(unix.Fstat(int(f.Fd()), &st), unix.Fstatfs(int(f.Fd()), &fs))
	if err == nil && (st.Ino != rootInode || fs.Type != unix.BTRFS_SUPER_MAGIC) {
		err = ErrOther
	}
	if err != nil {
		return nil, st, errors.Join(fmt.Errorf("opening %s: %w", dir, err), f.Close())
	}
	return f, st, nil
}

// Inner lists the subvolumes directly in the one at dir, by their paths from there: "var/lib/machines".
func Inner(dir string) ([]string, error) {
	f, _, err := open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var out []string
	for next := uint64(0); ; {
		refs, more, err := references(f, next)
		if err != nil {
			return nil, fmt.Errorf("listing the subvolumes in %s: %w", dir, err)
		}
		for _, r := range refs {
			name, err := r.path(f)
			if err != nil {
				return nil, fmt.Errorf("listing the subvolumes in %s: %w", dir, err)
			}
			out = append(out, name)
			next = r.tree + 1
		}
		if !more {
			return out, nil
		}
	}
}

// Create makes the empty subvolume dir/name.
func Create(dir, name string) error {
	if err := create(dir, name); err != nil {
		return fmt.Errorf("making the subvolume %s: %w", filepath.Join(dir, name), err)
	}
	return nil
}

// Snapshot makes the writable snapshot dir/name of the subvolume at source.
func Snapshot(source, dir, name string) error {
	f, _, err := open(source)
	if err == nil {
		err = errors.Join(snapshot(f, dir, name), f.Close())
	}
	if err != nil {
		return fmt.Errorf("making the snapshot %s: %w", filepath.Join(dir, name), err)
	}
	return nil
}

// SetReadOnly makes the subvolume at dir read-only, or writable again, for all of its mounts. One that is the same
// already is left alone.
func SetReadOnly(dir string, on bool) error {
	f, _, err := open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	var flags uint64
	err = ioctl(f, iocFlags, unsafe.Pointer(&flags))
	if is := flags&flagReadOnly != 0; err == nil && is != on {
		flags ^= flagReadOnly
		err = ioctl(f, iocSetFlags, unsafe.Pointer(&flags))
	}
	if err != nil {
		return fmt.Errorf("changing whether the subvolume %s can be written: %w", dir, err)
	}
	return nil
}

// maxDepth is how deep subvolumes may be in one another.
const maxDepth = 32

// Delete deletes the subvolume at dir/name with all that is in it, subvolumes too. The space is free a while later: the
// kernel does that in the background. It is durable on return.
func Delete(dir, name string) error {
	if err := remove(dir, name, maxDepth); err != nil {
		return fmt.Errorf("deleting the subvolume %s: %w", filepath.Join(dir, name), err)
	}
	return Sync(dir)
}

func remove(dir, name string, depth int) error {
	if depth == 0 {
		return fmt.Errorf("subvolumes are more than %d deep in one another", maxDepth)
	}
	inner, err := Inner(filepath.Join(dir, name))
	if err != nil {
		return err
	}
	if len(inner) > 0 { // nothing is deleted in one that is read-only
		if err := SetReadOnly(filepath.Join(dir, name), false); err != nil {
			return err
		}
	}
	for _, i := range inner {
		at := filepath.Join(dir, name, i)
		if err := remove(filepath.Dir(at), filepath.Base(at), depth-1); err != nil {
			return err
		}
	}
	return destroy(dir, name)
}

// Reclaim is Sync, and has the kernel begin to free the space of what was deleted.
func Reclaim(dir string) error {
	d, err := os.Open(dir)
	if err == nil {
		err = errors.Join(ioctl(d, iocSync, nil), d.Close())
	}
	if err != nil {
		return fmt.Errorf("syncing %s: %w", dir, err)
	}
	return nil
}

// Sync returns when all that was written to the filesystem at dir is durable.
func Sync(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("syncing %s: %w", dir, err)
	}
	defer d.Close()
	if err := unix.Syncfs(int(d.Fd())); err != nil {
		return fmt.Errorf("syncing %s: %w", dir, err)
	}
	return nil
}
