package pool

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"griddle/appliance/layout"
	"griddle/initramfs/bootloader"
	"griddle/initramfs/disk"
	"griddle/initramfs/disk/content"
	"griddle/initramfs/disk/luksheader"
	"griddle/initramfs/subvolume"
)

// bootPart is the partition for kernels of an encrypted pool.
type bootPart struct {
	dir string // where it is mounted; "" if it is not
	err error  // why
	// lost is what a new grub.cfg says of it, if grub.cfg says nothing.
	lost *bootloader.Boot
}

// openBoot mounts the partition for kernels, if the pool is encrypted. One that cannot be mounted is an error of what
// needs it.
func (p *Pool) openBoot() {
	conf, err := p.readConfig()
	if conf.Boot == nil && !p.place.Encrypted() {
		return
	}
	p.boot = &bootPart{}
	node := p.place.Boot
	switch {
	case conf.Boot == nil:
		node, p.boot.lost, p.boot.err = p.place.lostBoot()
	case node == "":
		node, p.boot.err = bootNode(nodes(sys), p.place.Disk, conf.Boot.ID)
	}
	if p.boot.err != nil {
		p.boot.err = errors.Join(p.boot.err, err)
		return
	}
	m, err := subvolume.Other("ext4", node)
	if err != nil {
		p.boot.err = err
		return
	}
	p.boot.dir, p.close = m.Dir(), append(p.close, m.Close)
}

// lostBoot is the partition for kernels of an encrypted pool whose grub.cfg is lost, by its label, and what a new
// grub.cfg says of it. It is on the disk of the pool.
func (p Place) lostBoot() (path string, b *bootloader.Boot, err error) {
	var found []string
	if p.Boot != "" {
		found = append(found, p.Boot)
	}
	for _, n := range nodes(sys) {
		if n.disk != p.Disk || p.Boot != "" {
			continue
		}
		if path, err := disk.Node(n.disk, sys, n.number); err == nil && labelled(path) {
			found = append(found, path)
		}
	}
	if len(found) != 1 {
		return "", nil, fmt.Errorf("looking for the partition with the kernels of the pool: grub.cfg is lost, and %d "+
			"partitions of %s have an ext4 with the label %s", len(found), p.Disk, layout.BootLabel)
	}
	f, err := os.Open(p.Partition)
	if err != nil {
		return "", nil, fmt.Errorf("reading the header of the pool: %w", err)
	}
	defer f.Close()
	h, ok := luksheader.Read(f)
	if !ok {
		return "", nil, fmt.Errorf("reading the header of the pool: %s has none that is whole", p.Partition)
	}
	return found[0], &bootloader.Boot{ID: ext4ID(found[0]), Volume: p.Volume,
		TPM: slices.Contains(h.Tokens, "systemd-tpm2")}, nil
}

// labelled says whether a device has the ext4 that a layout makes for kernels.
func labelled(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	size, _, err := disk.Geometry(f)
	if err != nil {
		return false
	}
	s := content.Identify(f, size)
	return s.Type == "ext4" && s.Label == layout.BootLabel
}

// bootNode is the device file of the partition of a disk with an ext4 of this UUID. A copy of the disk in the same
// machine has one too, which is not the pool's.
func bootNode(all []node, of, id string) (string, error) {
	for _, n := range all {
		if n.disk != of {
			continue
		}
		path, err := disk.Node(n.disk, sys, n.number) // which makes it where it is missing
		if err == nil && ext4ID(path) == id {
			return path, nil
		}
	}
	return "", fmt.Errorf("looking for the partition with the kernels of the pool: no partition of %s has an ext4 "+
		"with the UUID %s, which grub.cfg names", of, id)
}

// ext4ID is the UUID of the ext4 on a device, "" if it has none.
func ext4ID(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	size, _, err := disk.Geometry(f)
	if err != nil {
		return ""
	}
	if kind, id, err := content.Known(f, size); err == nil && kind == "ext4" {
		return id
	}
	return ""
}
