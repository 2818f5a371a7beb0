package install

import (
	"context"
	"fmt"
	"slices"

	"griddle/appliance/layout/plan"
	"griddle/imagestore/content"
	"griddle/initramfs/newroot"
	"griddle/initramfs/volume"
	"griddle/initramfs/volume/kept"
)

// startsVolumes refuses, before anything is written, an image whose system could not start the volumes of the plan. A
// nil manifest is asked for.
func (w *work) startsVolumes(ctx context.Context, manifest *content.Manifest) (err error) {
	var programs []string
	for _, v := range w.divided.plan.Volumes {
		name := volume.LVM
		if v.Kind == plan.Raid1 {
			name = volume.Mdadm
		}
		if !slices.Contains(programs, name) {
			programs = append(programs, name)
		}
	}
	if len(programs) == 0 {
		return nil
	}
	if manifest == nil {
		if manifest, err = w.img.Content(ctx); err != nil {
			return err
		}
	}
	if err := newroot.CheckPrograms(w.img.Ref(), manifest, programs); err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return nil
}

// startVolumes starts the volumes that the pool's systems mount, of an install that keeps the pool whose top is at a
// path. Those of the plan are started already.
func (w *work) startVolumes(ctx context.Context, top string) error {
	record, err := kept.Of(top)
	if err != nil || len(record.Programs()) == 0 {
		return err
	}
	if w.o.Tools != nil {
		if err := w.o.Tools(ctx, record.Programs()...); err != nil {
			return fmt.Errorf("programs for the volumes of this machine: %w", err)
		}
	}
	release, err := record.Start(ctx)
	if err != nil {
		return err
	}
	w.undo = append(w.undo, func() error { return release(context.WithoutCancel(ctx)) })
	return nil
}
