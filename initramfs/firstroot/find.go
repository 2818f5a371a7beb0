package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Where a btrfs superblock has what is read of it (struct btrfs_super_block in fs/btrfs/ctree.h), in bytes from the
// start of the device:
//
//	65536                 +32            +64
//	+---------------------+--------------+-----------+
//	| checksum, 32        | fsid, 16 ... | _BHRfS_M  |
//	+---------------------+--------------+-----------+
const (
	superblock = 65536
	fsidAt     = 32
	magicAt    = 64
	magic      = "_BHRfS_M"
)

// filesystem returns the UUID of the btrfs on a device, lower case with dashes; "" if there is none.
func filesystem(r io.ReaderAt) string {
	b := make([]byte, magicAt+len(magic))
	if _, err := r.ReadAt(b, superblock); err != nil || string(b[magicAt:]) != magic {
		return ""
	}
	id := hex.EncodeToString(b[fsidAt : fsidAt+16])
	return strings.Join([]string{id[:8], id[8:12], id[12:16], id[16:20], id[20:]}, "-")
}

// device is an open block device.
type device interface {
	io.ReaderAt
	io.Closer
}

func open(name string) (device, error) { return os.Open(filepath.Join("/dev", name)) }

// find returns the device of the root, as a path below /dev. block is /sys/class/block. The error says which devices
// there are and what they hold.
func find(block fs.FS, open func(name string) (device, error), o options) (string, error) {
	entries, err := fs.ReadDir(block, ".")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("listing the disks: %w", err)
	}
	var seen []string
	for _, e := range entries {
		held := ""
		if d, err := open(e.Name()); err == nil {
			held = filesystem(d)
			d.Close()
		} else if o.device == "" {
			continue // a drive without a medium, or a node that does not exist yet
		}
		if o.device == e.Name() || o.uuid != "" && o.uuid == held {
			return "/dev/" + e.Name(), nil
		}
		if held != "" {
			held = " (btrfs " + held + ")"
		}
		seen = append(seen, e.Name()+held)
	}
	wanted := "root=UUID=" + o.uuid
	if o.device != "" {
		wanted = "root=/dev/" + o.device
	}
	if len(seen) == 0 {
		seen = []string{"none"}
	}
	return "", fmt.Errorf("no disk has the root that the kernel's command line names (%s); the disks are: %s", wanted,
		strings.Join(seen, ", "))
}
