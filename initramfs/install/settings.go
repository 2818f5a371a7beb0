package install

import (
	"context"
	"fmt"

	"griddle/appliance/job"
	"griddle/appliance/layout"
	"griddle/appliance/setting"
	"griddle/imagestore/content"
	"griddle/initramfs/newroot"
)

// ask gets the settings of the machine while nothing is written, and refuses those that could not be applied.
func (w *work) ask(ctx context.Context, m *content.Manifest) error {
	if w.o.Settings == nil {
		return nil
	}
	s, err := w.own(ctx)
	if err != nil {
		return err
	}
	if err := newroot.Check(w.spec, w.hostname(), s, m); err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if w.divided != nil && w.divided.own() && s.Swap > 0 {
		return fmt.Errorf("%w: the settings of this machine have a swap file, and roots that are partitions have "+
			"none: add a partition with use: swap to the layout, and give this machine swap: 0", ErrRefused)
	}
	if s.Swap > 0 && w.divided != nil && len(w.divided.pools()) > 1 {
		return fmt.Errorf("%w: the settings have a swap file, and the pool is a mirror, on which the kernel has none; "+
			"leave swap out of the settings, and give the layout a partition with use: swap", ErrRefused)
	}
	if need := job.DiskNeeds(w.img.Size()) + int64(s.Swap); w.room() < need {
		return fmt.Errorf("%w: disk too small: %s has %s, %s with the swap of the settings needs %s; give a smaller "+
			"swap", ErrRefused, w.target, job.Bytes(w.room()), w.img.Ref(), job.Bytes(need))
	}
	if s.UserData != "" && !newroot.HasCloudInit(m) {
		w.warn("userData has no effect: %s has no cloud-init", w.img.Ref())
	}
	return nil
}

// own are the settings of the machine, which are asked for once.
func (w *work) own(ctx context.Context) (setting.Settings, error) {
	if w.asked {
		return w.settings, nil
	}
	s, err := w.o.Settings(ctx)
	if err == nil {
		w.settings, w.asked = s, true
	}
	return s, err
}

// room is how many bytes of the disk the system gets.
func (w *work) room() int64 {
	if w.divided != nil && w.divided.own() {
		return w.divided.part(layout.Root).Size
	}
	if w.divided != nil {
		return w.divided.pool().Size
	}
	return w.target.Size
}

// hostname is the one of the settings or of the job, else it comes from the machine.
func (w *work) hostname() string {
	if w.settings.Hostname != "" {
		return w.settings.Hostname
	}
	if w.spec.Hostname != "" {
		return w.spec.Hostname
	}
	return newroot.Hostname(w.o.Machine)
}
