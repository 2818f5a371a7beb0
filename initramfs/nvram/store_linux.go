package nvram

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// store keeps variables. Tests have one that fails.
type store interface {
	entries() ([]uint16, error)                                 // the numbers of all Boot####
	get(name string) (attributes uint32, value []byte, _ error) // errMissing if it does not exist
	set(name string, attributes uint32, value []byte) error
	remove(name string) error
}

var errMissing = errors.New("the variable does not exist")

// global is the vendor of the variables of UEFI (UEFI 2.10 section 3.3).
const global = "8be4df61-93ca-11d2-aa0d-00e098032b8c"

// efivars is where systems have the variables.
const efivars = "/sys/firmware/efi/efivars"

// Open opens the variables of this machine, and makes the kernel show them if it does not. A machine without is
// ErrNone.
func Open() (*Vars, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(efivars, &st); errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNone
	} else if err != nil {
		return nil, fmt.Errorf("opening the variables of the firmware: %w", err)
	}
	if uint32(st.Type) != unix.EFIVARFS_MAGIC {
		const flags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
		if err := unix.Mount("efivarfs", efivars, "efivarfs", flags, ""); err != nil {
			return nil, fmt.Errorf("%w (mounting efivarfs: %w)", ErrNone, err)
		}
	}
	return In(efivars), nil
}

// In are the variables that a folder has, in files as efivarfs has them.
func In(dir string) *Vars { return &Vars{folder(dir)} }

// folder is a store.
type folder string

func (f folder) path(name string) string { return filepath.Join(string(f), name+"-"+global) }

func (f folder) entries() ([]uint16, error) {
	all, err := os.ReadDir(string(f))
	if err != nil {
		return nil, err
	}
	var out []uint16
	for _, e := range all {
		if n, ok := number(e.Name()); ok {
			out = append(out, n)
		}
	}
	return out, nil
}

// number is that of the entry in a file of this name.
func number(file string) (uint16, bool) {
	const digits = len("Boot")
	if len(file) != digits+4+1+len(global) {
		return 0, false
	}
	n, err := strconv.ParseUint(file[digits:digits+4], 16, 16)
	return uint16(n), err == nil && file == name(uint16(n))+"-"+global
}

func (f folder) get(name string) (uint32, []byte, error) {
	file, err := os.OpenFile(f.path(name), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil, errMissing
	}
	if err != nil {
		return 0, nil, err
	}
	defer file.Close()
	b, err := io.ReadAll(io.LimitReader(file, maxValue+5))
	switch {
	case err != nil:
		return 0, nil, err
	case len(b) > maxValue+4:
		return 0, nil, fmt.Errorf("it has more than %d bytes", maxValue)
	case len(b) < 4:
		return 0, nil, errMissing // efivarfs shows a variable so while it is made or deleted
	}
	return binary.LittleEndian.Uint32(b), b[4:], nil
}

// set writes by one call, which is one call of the firmware.
func (f folder) set(name string, attributes uint32, value []byte) error {
	if err := f.unlock(name); err != nil {
		return err
	}
	file, err := os.OpenFile(f.path(name), os.O_WRONLY|os.O_CREATE|unix.O_NOFOLLOW, 0o644)
	if err != nil {
		return err
	}
	b := append(binary.LittleEndian.AppendUint32(nil, attributes), value...)
	_, err = file.Write(b)
	if errors.Is(err, unix.ENOSPC) {
		err = fmt.Errorf("the firmware has no room for it; delete boot entries in its setup: %w", err)
	}
	var st unix.Statfs_t
	if err == nil && unix.Fstatfs(int(file.Fd()), &st) == nil && uint32(st.Type) != unix.EFIVARFS_MAGIC {
		err = errors.Join(file.Truncate(int64(len(b))), file.Sync()) // in a copy of them
	}
	return errors.Join(err, file.Close())
}

func (f folder) remove(name string) error {
	if err := f.unlock(name); err != nil {
		return err
	}
	err := os.Remove(f.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// unlock takes away the flag by which the kernel protects variables that it does not know (efivarfs, immutable).
func (f folder) unlock(name string) error {
	file, err := os.OpenFile(f.path(name), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	const immutable = 0x10 // FS_IMMUTABLE_FL (include/uapi/linux/fs.h)
	flags, err := unix.IoctlGetInt(int(file.Fd()), unix.FS_IOC_GETFLAGS)
	if err != nil || flags&immutable == 0 {
		return nil // no flags, or not this one
	}
	return unix.IoctlSetPointerInt(int(file.Fd()), unix.FS_IOC_SETFLAGS, flags&^immutable)
}
