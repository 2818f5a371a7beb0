package pool

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"griddle/appliance/layout"
	"griddle/initramfs/bootloader"
	"griddle/initramfs/disk"
	"griddle/initramfs/disk/content"
	"griddle/initramfs/disk/luksheader"
	"griddle/initramfs/subvolume"
)

// bootPart is the partition for kernels of an encrypted pool.
type bootPart struct {
	dir string          // where it is mounted; "" if it is not
	err error           // why
	of  bootloader.Boot // what grub.cfg says of it, or has to say if it is lost; zero if err says why that is not known
}

// openBoot mounts the partition for kernels, if the pool is encrypted. One that cannot be mounted is an error of what
// needs it. Where grub.cfg is lost, the disk shows which partition it is, and what opens the pool.
func (p *Pool) openBoot() {
	conf, err := p.readConfig()
	if !p.place.Encrypted() && (err != nil || conf.Boot == nil) {
		return
	}
	p.boot = &bootPart{}
	node := p.place.Boot
	if err == nil {
		if p.boot.of = *conf.Boot; node == "" {
			node, p.boot.err = bootNode(nodes(sys), p.place.Disk, conf.Boot.ID)
		}
	} else {
		node, p.boot.of, p.boot.err = p.findBoot(node)
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

// findBoot is the partition for kernels, which is known if it is not "", and what a new grub.cfg has to say.
func (p *Pool) findBoot(node string) (string, bootloader.Boot, error) {
	if node == "" {
		names, err := p.rootNames()
		if err == nil {
			node, err = lostBoot(nodes(sys), p.place.Disk, names)
		}
		if err != nil {
			return "", bootloader.Boot{}, err
		}
	}
	b := bootloader.Boot{ID: ext4ID(node), Volume: p.place.Volume}
	f, err := os.Open(p.place.Partition)
	if err != nil {
		return "", bootloader.Boot{}, fmt.Errorf("looking for what opens the encrypted pool: %w", err)
	}
	defer f.Close()
	h, ok := luksheader.Read(f)
	if !ok || !strings.EqualFold(h.UUID, b.Volume) {
		return "", bootloader.Boot{}, fmt.Errorf("looking for what opens the encrypted pool: %s has no header of the "+
			"volume %s that is whole", p.place.Partition, b.Volume)
	}
	b.TPM = slices.Contains(h.Tokens, "systemd-tpm2")
	return node, b, nil
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
		"with the UUID %s, which grub.cfg names; if it is lost, make one with `mkfs.ext4 -L %s -U %s PARTITION`, and "+
		"run `griddle-agent kernels`", of, id, layout.BootLabel, id)
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
