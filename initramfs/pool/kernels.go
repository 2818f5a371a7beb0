package pool

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"griddle/initramfs/bootloader"
	"griddle/initramfs/bootloader/bootcopy"
	"griddle/initramfs/bootloader/bootenv"
)

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
	failed, err := p.copyAll(c, append(needed, e.Good), bootcopy.Root{})
	for _, name := range needed {
		err = errors.Join(err, failed[name])
	}
	return err
}

// copyAll copies what GRUB reads of all roots, of those in first before the others. Of fresh roots it copies those in
// first and those that grubenv names: the others are not started again. Of running, what is not about the place
// of a root counts for the one that runs.
func (p *Pool) copyAll(c Contents, first []string, running bootcopy.Root) (failed map[string]error, err error) {
	if p.boot.err != nil {
		return nil, p.boot.err
	}
	in := map[string]bootcopy.Root{}
	for _, r := range c.Roots {
		var one bootcopy.Root
		if r.Runs && r.Reset == "" {
			one = running
		}
		one.Name, one.Dir = r.Name, p.RootDir(r.Name)
		in[r.Name] = one
	}
	for _, f := range c.Fresh {
		if f.Ready || f.Name() == c.env.Candidate || slices.Contains(first, f.Name()) {
			in[f.Name()] = bootcopy.Root{Name: f.Name(), Dir: p.RootDir(f.Name())}
		}
	}
	var all []bootcopy.Root
	take := func(name string) {
		if r, ok := in[name]; ok {
			all = append(all, r)
			delete(in, name)
		}
	}
	for _, name := range first {
		take(name)
	}
	for _, r := range c.Roots {
		take(r.Name)
	}
	for _, f := range c.Fresh {
		take(f.Name())
	}
	return bootcopy.Update(p.boot.dir, all)
}

// CopyKernels copies what GRUB reads of the roots of an encrypted pool, after a kernel or an initrd changed. The copies
// are durable on return. It fails if a root has none of now; those that could be copied are. GRUB reads other pools
// itself, for which it does nothing.
func (p *Pool) CopyKernels() error {
	_, err := p.ChangeKernels("", nil)
	return err
}

// ChangeKernels is CopyKernels in the system that runs, after a kernel of it changed or before the one with the version
// removed is removed; "" for none. It asks check before it copies another initrd of that system, whose path is relative
// to /; nil takes each. Where it fails, starts says whether the machine starts nevertheless: GRUB has a whole copy of a
// kernel that the root that runs keeps.
func (p *Pool) ChangeKernels(removed string, check func(initrd string) error) (starts bool, err error) {
	if p.boot == nil {
		return true, nil
	}
	err = p.change(func(c Contents) error {
		if err := p.sync(); err != nil {
			return err
		}
		failed, err := p.copyAll(c, []string{c.env.Good, c.env.Candidate},
			bootcopy.Root{Removed: removed, Check: check})
		for _, r := range c.Roots {
			if r.Kernel { // one without has nothing to copy
				err = errors.Join(err, failed[r.Name])
			}
		}
		for _, f := range c.Fresh {
			err = errors.Join(err, failed[f.Name()])
		}
		starts = err == nil || p.boot.err == nil && p.starts(c, removed)
		return err
	})
	return starts, err
}

// starts says whether GRUB has a whole copy of a kernel that the root that runs keeps. A fresh root is not started
// again, whatever people change in it.
func (p *Pool) starts(c Contents, removed string) bool {
	for _, r := range c.Roots {
		if r.Runs && r.Reset == "" {
			return bootcopy.Starts(p.boot.dir, bootcopy.Root{Name: r.Name, Dir: p.RootDir(r.Name), Removed: removed})
		}
	}
	return true
}

// KernelRoom is how many bytes the copy of a new root with this kernel and this initrd needs beside an encrypted pool,
// and how many are free. GRUB reads other pools itself: they need none. It copies what GRUB reads of the roots that
// there are, as CopyKernels does.
func (p *Pool) KernelRoom(files []bootcopy.File) (need, free int64, err error) {
	if p.boot == nil || p.boot.err != nil {
		return 0, 0, p.bootError()
	}
	err = p.change(func(c Contents) error {
		if err := p.sync(); err != nil {
			return err
		}
		if len(c.Roots) > 0 {
			if _, err := p.copyAll(c, []string{c.env.Good, c.env.Candidate}, bootcopy.Root{}); err != nil {
				return err
			}
		}
		var err error
		need, free, err = bootcopy.Room(p.boot.dir, files)
		return err
	})
	return need, free, err
}

// KernelsFreed is how many bytes of the partition for kernels are free again when a root is deleted.
func (p *Pool) KernelsFreed(r Root) int64 {
	if p.boot == nil || p.boot.err != nil {
		return 0
	}
	return bootcopy.Freed(p.boot.dir, r.Name)
}

// bootError is why the partition for kernels is not mounted, nil if it is or need not be.
func (p *Pool) bootError() error {
	if p.boot == nil {
		return nil
	}
	return p.boot.err
}

// removeCopies removes what GRUB reads of roots of an encrypted pool, before they are deleted. No grubenv names them.
func (p *Pool) removeCopies(names ...string) error {
	if p.boot == nil || p.boot.err != nil {
		return p.bootError()
	}
	if err := bootcopy.Remove(p.boot.dir, names...); err != nil {
		return fmt.Errorf("removing the copies of kernels: %w", err)
	}
	return nil
}

// StartDir is the folder in which the boot loader finds the kernel of a root, its initrd and its arguments: the root,
// or of an encrypted pool the copy in the partition for kernels.
func (p *Pool) StartDir(name string) (string, error) {
	switch {
	case p.boot == nil:
		return p.RootDir(name), nil
	case p.boot.err != nil:
		return "", p.boot.err
	}
	dir, err := bootcopy.Copy(p.boot.dir, name)
	if err != nil {
		return "", fmt.Errorf("looking for the copy of the kernel of %s: %w", Label(name), err)
	}
	return dir, nil
}

// Encrypted says whether the pool is encrypted, and whether the TPM opens it.
func (c Contents) Encrypted() (encrypted, tpm bool) {
	return c.boot != nil, c.boot != nil && c.boot.TPM
}

// hasKernel says whether GRUB can start a root by what is in it: an encrypted pool is opened by an initrd.
func (p *Pool) hasKernel(top *os.Root) bool {
	k, err := bootloader.FindKernel(top)
	return err == nil && (p.boot == nil || k.Initrd != "")
}
