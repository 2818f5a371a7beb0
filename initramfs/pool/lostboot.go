package pool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"griddle/appliance/layout"
	"griddle/initramfs/bootloader/bootcopy"
	"griddle/initramfs/disk"
	"griddle/initramfs/disk/content"
	"griddle/initramfs/subvolume"

	"golang.org/x/sys/unix"
)

// lostBoot finds the partition for kernels of an encrypted pool on a disk, where no grub.cfg names it: the only ext4
// with copies of roots that the pool has, or else the only one with layout.BootLabel and nothing in it. It changes
// nothing on the disk.
func lostBoot(all []node, of string, roots []string) (path string, err error) {
	var copies, empty []string
	for _, n := range all {
		if n.disk != of {
			continue
		}
		path, err := disk.Node(n.disk, sys, n.number)
		if err != nil {
			continue
		}
		label, ok := ext4Label(path)
		if !ok {
			continue
		}
		switch has, none := kernelsIn(path, roots); {
		case has:
			copies = append(copies, path)
		case none && label == layout.BootLabel:
			empty = append(empty, path)
		}
	}
	found := copies
	if len(found) == 0 {
		found = empty
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		err = fmt.Errorf("no ext4 on %s has copies of them; make one on that disk with `mkfs.ext4 -L %s PARTITION`, "+
			"and repeat this", of, layout.BootLabel)
	default:
		err = fmt.Errorf("it can be each of %s; remove those that are of other pools, and repeat this",
			strings.Join(found, " and "))
	}
	return "", fmt.Errorf("looking for the partition with the kernels of the pool: no grub.cfg names it, and %w", err)
}

// kernelsIn says whether an ext4 has copies of one of these roots, and whether it has nothing.
func kernelsIn(path string, roots []string) (copies, empty bool) {
	m, err := subvolume.ReadOther("ext4", path)
	if errors.Is(err, unix.EBUSY) { // it is mounted for writing, and this changes nothing more
		m, err = subvolume.Other("ext4", path)
	}
	if err != nil {
		return false, false
	}
	defer m.Close()
	for _, r := range roots {
		if _, err := bootcopy.Copy(m.Dir(), r); err == nil {
			return true, false
		}
	}
	entries, err := os.ReadDir(m.Dir())
	return false, err == nil && (len(entries) == 0 || len(entries) == 1 && entries[0].Name() == "lost+found")
}

// ext4Label is the label of the ext4 on a device. ok is false if it has none.
func ext4Label(path string) (label string, ok bool) {
	f, err := os.Open(path)
	if err != nil {
		return "", false
	}
	defer f.Close()
	size, _, err := disk.Geometry(f)
	if err != nil {
		return "", false
	}
	s := content.Identify(f, size)
	return s.Label, s.Type == "ext4"
}

// rootNames are the names in the folder of roots, of fresh ones too.
func (p *Pool) rootNames() ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(p.dir, roots))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading the pool: %w", err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out, nil
}
