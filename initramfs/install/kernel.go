package install

import (
	"context"
	"fmt"

	"griddle/appliance/job"
	"griddle/imagestore/content"
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
	if err == nil {
		return nil
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
	if need := job.DiskNeeds(w.img.Size() + w.kernel.Size()); w.room() < need {
		return fmt.Errorf("%w: disk too small: %s has %s, %s with the kernel needs %s", ErrRefused, w.target,
			job.Bytes(w.room()), w.img.Ref(), job.Bytes(need))
	}
	return nil
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
