package pool

import (
	"fmt"
	"os"

	"griddle/initramfs/disk"
	"griddle/initramfs/disk/content"
	"griddle/initramfs/subvolume"
)

// bootPart is the partition for kernels of an encrypted pool.
type bootPart struct {
	dir string // where it is mounted; "" if it is not
	err error  // why
}

// openBoot mounts the partition for kernels, if grub.cfg says that the pool is encrypted. One that cannot be mounted is
// an error of what needs it.
func (p *Pool) openBoot() {
	conf, err := p.readConfig()
	if err != nil || conf.Boot == nil {
		return
	}
	p.boot = &bootPart{}
	node := p.place.Boot
	if node == "" {
		node, p.boot.err = bootNode(nodes(sys), p.place.Disk, conf.Boot.ID)
	}
	if p.boot.err != nil {
		return
	}
	m, err := subvolume.Other("ext4", node)
	if err != nil {
		p.boot.err = err
		return
	}
	p.boot.dir, p.close = m.Dir(), append(p.close, m.Close)
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
