package install

import (
	"context"
	"fmt"
	"slices"

	"griddle/appliance/job"
	"griddle/imagestore/content"
	"griddle/initramfs/kernel"
	"griddle/initramfs/newroot"
)

// needsSystemd refuses an image that could not make fresh roots, if the job asks for them: what does that is units.
func (w *work) needsSystemd(m *content.Manifest) error {
	if w.spec.Reset.After("") == "" {
		return nil
	}
	if w.divided != nil && w.divided.own() {
		return fmt.Errorf("%w: the roots of the layout are partitions, and a system that is fresh at each start needs "+
			"a pool: leave out --reset, or have a partition with use: pool", ErrRefused)
	}
	if err := newroot.CheckInit(w.img.Ref(), m); err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return nil
}

// needsKernel opens the kernel image of the job, if the image with manifest m has no kernel.
func (w *work) needsKernel(ctx context.Context, m *content.Manifest) error {
	err := newroot.CheckKernel(w.img.Ref(), m)
	if err == nil && w.divided != nil && w.divided.own() {
		if err := newroot.CheckInitrd(w.img.Ref(), m); err != nil {
			return fmt.Errorf("%w: %w", ErrRefused, err)
		}
	}
	if err == nil {
		return w.initrdMirrors(m)
	}
	if w.spec.Kernel.Ref == "" || w.o.Kernel == nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if w.divided != nil && w.divided.own() {
		return fmt.Errorf("%w: the roots of the layout are partitions, and get no kernel from another image: %w",
			ErrRefused, err)
	}
	if w.kernel, err = w.o.Kernel(ctx, nil); err != nil {
		return err
	}
	if err := w.mirrorsWith(ctx); err != nil {
		return err
	}
	if need := job.DiskNeeds(w.img.Size() + w.kernel.Size()); w.room() < need {
		return fmt.Errorf("%w: disk too small: %s has %s, %s with the kernel needs %s", ErrRefused, w.target,
			job.Bytes(w.room()), w.img.Ref(), job.Bytes(need))
	}
	return nil
}

// initrdMirrors refuses an image for a mirror whose own initrd would not find the other disk: initramfs-tools looks for
// the devices of a btrfs only by what the package btrfs-progs adds to it (its rules for udev leave that out).
func (w *work) initrdMirrors(m *content.Manifest) error {
	if w.divided == nil || len(w.divided.pools()) < 2 {
		return nil
	}
	const tools = "usr/share/initramfs-tools"
	has := func(path string) bool {
		return slices.ContainsFunc(m.Entries, func(e content.Entry) bool { return e.Path == path })
	}
	switch {
	case has(tools + "/scripts/local-premount/btrfs"):
		return nil
	case has(tools):
		return fmt.Errorf("%w: the pool is a mirror, and the initrd of %s does not find its second disk: install "+
			"btrfs-progs in the template, and publish it again", ErrRefused, w.img.Ref())
	}
	w.warn("the pool is a mirror: it is not known whether the initrd of %s finds both disks, and starts with one",
		w.img.Ref())
	return nil
}

// mirrorsWith refuses a kernel image for a mirror whose initrd would not find the other disk.
func (w *work) mirrorsWith(ctx context.Context) error {
	if w.divided == nil || len(w.divided.pools()) < 2 {
		return nil
	}
	m, err := w.kernel.Content(ctx)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(m.Entries, func(e content.Entry) bool { return e.Path == kernel.MirrorFile }) {
		return nil
	}
	return fmt.Errorf("%w: the pool is a mirror, and the initrd of %s does not know mirrors: publish the kernel image "+
		"again with this version of Griddle", ErrRefused, w.kernel.Ref())
}

// takeKernel receives and verifies the kernel image, and returns its folder; "" if there is none.
func (w *work) takeKernel(ctx context.Context) (string, error) {
	if w.kernel == nil {
		return "", nil
	}
	m, err := w.kernel.Content(ctx)
	if err != nil {
		return "", err
	}
	return w.take(ctx, w.kernel, m)
}
