package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"griddle/initramfs/superblock"
)

// device is an open block device.
type device interface {
	io.ReaderAt
	io.Closer
}

func open(name string) (device, error) { return os.Open(filepath.Join("/dev", name)) }

// found are the devices of the root.
type found struct {
	nodes []string // paths below /dev; several of a mirror
	all   bool     // none is missing
}

// find returns the devices of the root. block is /sys/class/block. The error says which devices there are and what they
// hold.
func find(block fs.FS, open func(name string) (device, error), o options) (out found, err error) {
	entries, err := fs.ReadDir(block, ".")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return found{}, fmt.Errorf("listing the disks: %w", err)
	}
	var seen []string
	ids := map[uint64]bool{}
	for _, e := range entries {
		var s superblock.Super
		if d, err := open(e.Name()); err == nil {
			s, _ = superblock.Read(d)
			d.Close()
		} else if o.device == "" {
			continue // a drive without a medium, or a node that does not exist yet
		}
		if o.device == e.Name() {
			return found{[]string{"/dev/" + e.Name()}, true}, nil
		}
		if o.uuid != "" && o.uuid == s.Filesystem && !ids[s.Device] {
			ids[s.Device] = true
			out.nodes = append(out.nodes, "/dev/"+e.Name())
			out.all = len(out.nodes) >= s.Devices
		}
		held := ""
		if s.Filesystem != "" {
			held = " (btrfs " + s.Filesystem + ")"
		}
		seen = append(seen, e.Name()+held)
	}
	if len(out.nodes) > 0 {
		return out, nil
	}
	wanted := "root=UUID=" + o.uuid
	if o.device != "" {
		wanted = "root=/dev/" + o.device
	}
	if len(seen) == 0 {
		seen = []string{"none"}
	}
	return found{}, fmt.Errorf("no disk has the root that the kernel's command line names (%s); the disks are: %s",
		wanted, strings.Join(seen, ", "))
}
