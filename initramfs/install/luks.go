package install

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"griddle/appliance/layout"
	"griddle/appliance/layout/plan"
	"griddle/initramfs/divide"
	"griddle/initramfs/luks"
	"griddle/initramfs/mounts"
	"griddle/initramfs/newroot"
)

// mountOf is what the systems of the machine mount of a partition.
func mountOf(p divide.Place) mounts.Mount {
	return mounts.Mount{UUID: p.UUID, Filesystem: cmp.Or(p.Part.Inside, p.Part.Filesystem), Path: p.Part.Mount,
		Volume: p.Volume, TPM: unlocks(p.Part, layout.TPM2)}
}

// unlocks says whether a partition is opened by something.
func unlocks(p plan.Part, by string) bool { return slices.Contains(strings.Fields(p.Unlock), by) }

// secrets refuses, while nothing is written, what the plan encrypts if this machine cannot make it, or the system of
// the image could not open it.
func (w *work) secrets(ctx context.Context) error {
	if !w.divided.plan.Unlocks(layout.Passphrase) {
		return nil
	}
	if w.divided.own() {
		return fmt.Errorf("%w: encrypted partitions are not supported yet where the roots are partitions; use a pool",
			ErrRefused)
	}
	var all []mounts.Mount
	tpm := false
	for _, d := range w.divided.plan.Disks {
		for _, p := range d.After {
			if p.Unlock == "" {
				continue
			}
			all = append(all, mounts.Mount{Volume: w.spec.ID, TPM: unlocks(p, layout.TPM2)}) // any UUID
			tpm = tpm || unlocks(p, layout.TPM2) && p.Fate != plan.Stays
		}
	}
	m, err := w.img.Content(ctx)
	if err != nil {
		return err
	}
	if err := newroot.CheckEncrypted(w.img.Ref(), m, all); err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if tpm {
		if err := luks.CheckTPM(); err != nil {
			return fmt.Errorf("%w: the layout has partitions that the TPM opens: %w", ErrRefused, err)
		}
	}
	if w.o.Settings != nil {
		if _, err := w.own(ctx); err != nil {
			return err
		}
	}
	if w.settings.Disks.Passphrase == "" {
		return fmt.Errorf("%w: the layout has encrypted partitions, and the settings of this machine have no "+
			"passphrase for them; give it one with disks: {passphrase: …}", ErrRefused)
	}
	return nil
}

// closeLater closes the encrypted volumes that the plan made or opened, when nothing of them is mounted any more.
func (w *work) closeLater() {
	for _, p := range w.divided.made.Parts {
		if p.Volume != "" {
			w.undo = append(w.undo, func() error { return luks.Close(context.Background(), p.Volume) })
		}
	}
}

// openFormer opens what the systems of a pool that stays mount and have encrypted. The passphrase is that of the
// settings, which are asked for only where the TPM does not open it.
func (w *work) openFormer(ctx context.Context, top string) error {
	persistent, err := os.OpenRoot(filepath.Join(top, "@persistent"))
	if err != nil {
		return fmt.Errorf("opening @persistent of the pool: %w", err)
	}
	all, err := mounts.Read(persistent)
	if err := errors.Join(err, persistent.Close()); err != nil {
		return err
	}
	// What is in swap is of no use here.
	all = slices.DeleteFunc(mounts.Encrypted(all), func(m mounts.Mount) bool { return m.Path == "" })
	for i, m := range all {
		if i == 0 && w.o.Tools != nil {
			if err := w.o.Tools(ctx, luks.Program); err != nil {
				return fmt.Errorf("the systems of this machine have encrypted partitions: %w", err)
			}
		}
		if err := luks.Ready(ctx); err != nil {
			return fmt.Errorf("the systems of this machine have encrypted partitions: %w", err)
		}
		end, err := m.Open(ctx, []byte(w.settings.Disks.Passphrase))
		if errors.Is(err, mounts.ErrClosed) && w.o.Settings != nil && !w.asked {
			if _, err := w.own(ctx); err != nil {
				return err
			}
			end, err = m.Open(ctx, []byte(w.settings.Disks.Passphrase))
		}
		if err != nil {
			return fmt.Errorf("%w; give the settings of this machine its passphrase with disks: {passphrase: …}", err)
		}
		w.undo = append(w.undo, end)
	}
	return nil
}
