package install

import (
	"context"
	"fmt"
	"slices"

	"griddle/appliance/layout/plan"
	"griddle/imagestore/content"
	"griddle/initramfs/mounts/opening"
	"griddle/initramfs/newroot"
	"griddle/initramfs/volume"
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

// opens starts and opens what the systems of the pool whose top is at a path mount beside it. What the plan has is
// started and open already.
func (w *work) opens(ctx context.Context, top string) error {
	end, err := opening.Open(ctx, top, opening.Needs{Tools: w.o.Tools, Keys: w.keys()})
	if err != nil {
		return err
	}
	w.undo = append(w.undo, end)
	return nil
}
