package subvolume

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The ioctls of include/uapi/linux/btrfs.h that are used here.
const (
	iocCreate     = 0x50009418 // BTRFS_IOC_SUBVOL_CREATE_V2: struct btrfs_ioctl_vol_args_v2
	iocSnapshot   = 0x50009417 // BTRFS_IOC_SNAP_CREATE_V2: struct btrfs_ioctl_vol_args_v2
	iocSync       = 0x00009408 // BTRFS_IOC_SYNC
	iocDestroy    = 0x5000940f // BTRFS_IOC_SNAP_DESTROY: struct btrfs_ioctl_vol_args
	iocFilesystem = 0x8400941f // BTRFS_IOC_FS_INFO: struct btrfs_ioctl_fs_info_args, 1024 bytes
	iocInfo       = 0x81f8943c // BTRFS_IOC_GET_SUBVOL_INFO
	iocReferences = 0xd000943d // BTRFS_IOC_GET_SUBVOL_ROOTREF
	iocPath       = 0xd000943e // BTRFS_IOC_INO_LOOKUP_USER
	iocFlags      = 0x80089419 // BTRFS_IOC_SUBVOL_GETFLAGS: 8 bytes
	iocSetFlags   = 0x4008941a // BTRFS_IOC_SUBVOL_SETFLAGS: 8 bytes

	readOnly     = 1      // BTRFS_ROOT_SUBVOL_RDONLY
	flagReadOnly = 1 << 1 // BTRFS_SUBVOL_RDONLY
)

// infoArgs is struct btrfs_ioctl_get_subvol_info_args: treeid 8, name 256, parent_id, dirid, generation, flags 8 each;
// at 296 uuid, parent_uuid, received_uuid, 16 each; at 344 ctransid, otransid, stransid, rtransid, 8 each; at 376
// ctime, at 392 otime, 8 and 4 with 4 of padding.
type infoArgs [504]byte

func (a *infoArgs) ask(f *os.File) error { return ioctl(f, iocInfo, unsafe.Pointer(a)) }

// reference says which subvolume is in a folder of another one.
type reference struct{ tree, folder uint64 }

// references lists the subvolumes with numbers from min on that are in the one of f, at most 255, and whether there are
// more.
func references(f *os.File, min uint64) (refs []reference, more bool, err error) {
	// struct btrfs_ioctl_get_subvol_rootref_args: min_treeid 8, 255 times treeid and dirid, num_items 1
	var a [4096]byte
	binary.NativeEndian.PutUint64(a[:], min)
	if err = ioctl(f, iocReferences, unsafe.Pointer(&a)); errors.Is(err, unix.EOVERFLOW) {
		more, err = true, nil
	}
	if err != nil {
		return nil, false, err
	}
	for i := range int(a[8+255*16]) {
		at := a[8+i*16:]
		refs = append(refs, reference{binary.NativeEndian.Uint64(at), binary.NativeEndian.Uint64(at[8:])})
	}
	return refs, more && len(refs) > 0, nil
}

// path is where the subvolume is, from the top of the one of f.
func (r reference) path(f *os.File) (string, error) {
	// struct btrfs_ioctl_ino_lookup_user_args: dirid 8, treeid 8, name 256, path
	var a [4096]byte
	binary.NativeEndian.PutUint64(a[:], r.folder)
	binary.NativeEndian.PutUint64(a[8:], r.tree)
	if err := ioctl(f, iocPath, unsafe.Pointer(&a)); err != nil {
		return "", err
	}
	text := func(b []byte) string { s, _, _ := bytes.Cut(b, []byte{0}); return string(s) }
	return path.Join(text(a[16+256:]), text(a[16:16+256])), nil
}

// newArgs is struct btrfs_ioctl_vol_args_v2.
type newArgs struct {
	fd             int64
	transid, flags uint64
	_              [4]uint64
	name           [4040]byte
}

// create makes an empty subvolume.
func create(dir, name string) error {
	var a newArgs
	copy(a.name[:len(a.name)-1], name)
	return onDir(dir, iocCreate, unsafe.Pointer(&a))
}

// snapshot makes a writable snapshot of the subvolume of source.
func snapshot(source *os.File, dir, name string) error {
	a := newArgs{fd: int64(source.Fd())}
	copy(a.name[:len(a.name)-1], name)
	return onDir(dir, iocSnapshot, unsafe.Pointer(&a))
}

// destroy deletes one subvolume.
func destroy(dir, name string) error {
	var a struct { // struct btrfs_ioctl_vol_args
		fd   int64
		name [4088]byte
	}
	copy(a.name[:len(a.name)-1], name)
	return onDir(dir, iocDestroy, unsafe.Pointer(&a))
}

func onDir(dir string, request uintptr, arg unsafe.Pointer) error {
	d, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer d.Close()
	return ioctl(d, request, arg)
}

func ioctl(f *os.File, request uintptr, arg unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), request, uintptr(arg)); errno != 0 {
		return errno
	}
	return nil
}
