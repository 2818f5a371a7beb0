package pool

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"griddle/initramfs/bootloader"
	"griddle/initramfs/bootloader/bootcopy"
	"griddle/initramfs/bootloader/bootenv"
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
	if kind, id := content.Known(f, size); kind == "ext4" {
		return id
	}
	return ""
}

// copyKernels makes what GRUB reads of an encrypted pool that of its roots, before grubenv says e: it fails if that
// could not be done for a root that e has GRUB start, and that it did not start before. All of the pool is durable by
// then. For other pools it does nothing.
func (p *Pool) copyKernels(c Contents, e bootenv.Env) error {
	if p.boot == nil {
		return nil
	}
	var needed []string
	if e.Candidate != "" && e.Tries > 0 {
		needed = append(needed, e.Candidate)
	}
	if e.Good != "" && e.Good != c.env.Good {
		needed = append(needed, e.Good)
	}
	for _, n := range []int{e.Fresh, e.Spare} {
		if n > 0 {
			needed = append(needed, bootenv.FreshName(e.Good, n))
		}
	}
	failed, err := p.copyAll(c, append(needed, e.Good))
	for _, name := range needed {
		err = errors.Join(err, failed[name])
	}
	return err
}

// copyAll copies what GRUB reads of all roots, of those in first before the others.
func (p *Pool) copyAll(c Contents, first []string) (failed map[string]error, err error) {
	if p.boot.err != nil {
		return nil, p.boot.err
	}
	var all []string
	for _, r := range c.Roots {
		all = append(all, r.Name)
	}
	for _, f := range c.Fresh {
		all = append(all, f.Name())
	}
	var in []bootcopy.Root
	for _, name := range slices.Concat(first, all) {
		has := func(r bootcopy.Root) bool { return r.Name == name }
		if slices.Contains(all, name) && !slices.ContainsFunc(in, has) {
			in = append(in, bootcopy.Root{Name: name, Dir: p.RootDir(name)})
		}
	}
	return bootcopy.Update(p.boot.dir, in)
}

// CopyKernels copies what GRUB reads of the roots of an encrypted pool, after a kernel or an initrd changed. The copies
// are durable on return. It fails if a root has none of now; those that could be copied are. GRUB reads other pools
// itself, for which it does nothing.
func (p *Pool) CopyKernels() error {
	if p.boot == nil {
		_, err := p.readConfig() // without it, it is not known whether the pool is encrypted
		return err
	}
	return p.change(func(c Contents) error {
		if err := p.sync(); err != nil {
			return err
		}
		failed, err := p.copyAll(c, []string{c.env.Good, c.env.Candidate})
		for _, r := range c.Roots {
			if r.Kernel { // one without has nothing to copy
				err = errors.Join(err, failed[r.Name])
			}
		}
		for _, f := range c.Fresh {
			err = errors.Join(err, failed[f.Name()])
		}
		return err
	})
}

// Encrypted says whether the pool is encrypted, and whether the TPM opens it.
func (c Contents) Encrypted() (encrypted, tpm bool) {
	b := c.conf.Boot
	return b != nil, b != nil && b.TPM
}

// hasKernel says whether GRUB can start a root by what is in it: an encrypted pool is opened by an initrd.
func (p *Pool) hasKernel(top *os.Root) bool {
	k, err := bootloader.FindKernel(top)
	return err == nil && (p.boot == nil || k.Initrd != "")
}
