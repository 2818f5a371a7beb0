package install

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"griddle/appliance/layout"
	"griddle/appliance/layout/plan"
	"griddle/initramfs/bootloader"
	"griddle/initramfs/divide"
	"griddle/initramfs/luks"
	"griddle/initramfs/mounts"
	"griddle/initramfs/newroot"
	"griddle/initramfs/pool"
)

// mountOf is what the systems of the machine mount of a partition.
func mountOf(p divide.Place) mounts.Mount {
	return mounts.Mount{UUID: p.UUID, Filesystem: cmp.Or(p.Part.Inside, p.Part.Filesystem), Path: p.Part.Mount,
		Volume: p.Volume, TPM: p.Part.UnlockedBy(layout.TPM2)}
}

// secrets refuses, while nothing is written, what the plan encrypts if this machine cannot make it, or the system of
// the image could not open it.
func (w *work) secrets(ctx context.Context) error {
	if !w.divided.plan.Encrypts() {
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
			if p.Use != layout.Pool { // which its initrd opens
				all = append(all, mounts.Mount{Volume: w.spec.ID, TPM: p.UnlockedBy(layout.TPM2)}) // any UUID
			}
			tpm = tpm || p.UnlockedBy(layout.TPM2) && p.Fate != plan.Stays
		}
	}
	m, err := w.img.Content(ctx)
	if err != nil {
		return err
	}
	if pool := w.divided.pool(); pool.Unlock != "" {
		if err := newroot.CheckKernel(w.img.Ref(), m); err != nil {
			return fmt.Errorf("%w: %w; the initrd of another image cannot open an encrypted pool", ErrRefused, err)
		}
		if err := newroot.CheckEncryptedPool(w.img.Ref(), m, pool.UnlockedBy(layout.TPM2)); err != nil {
			return fmt.Errorf("%w: %w", ErrRefused, err)
		}
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
	if w.divided.plan.Unlocks(layout.Passphrase) && w.settings.Disks.Passphrase == "" {
		return fmt.Errorf("%w: the layout has encrypted partitions, and the settings of this machine have no "+
			"passphrase for them; give it one with disks: {passphrase: …}", ErrRefused)
	}
	if w.divided.plan.Unlocks(layout.Recovery) {
		return w.recover(ctx)
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

// boot is what GRUB and the initrd need of the encrypted pool that the plan made or kept, and the device file of the
// partition for kernels; nil for another pool.
func (d *divided) boot() (b *bootloader.Boot, node string) {
	if d.pool().Unlock == "" {
		return nil, ""
	}
	for _, p := range d.made.Parts {
		if p.Part.Use == layout.Boot {
			return &bootloader.Boot{ID: p.UUID, Volume: strings.ToLower(d.made.Pool.Volume),
				TPM: d.pool().UnlockedBy(layout.TPM2)}, p.Node
		}
	}
	return nil, ""
}

// copyKernels copies what GRUB reads of an encrypted pool, which has its grub.cfg. The copies are durable on return.
func (w *work) copyKernels() error {
	if b, _ := w.dividedBoot(); b == nil {
		return nil
	}
	p, err := pool.Open(w.newPool())
	if err != nil {
		return err
	}
	return errors.Join(p.CopyKernels(), p.Close())
}

// dividedBoot is divided.boot, nil for a job without a layout.
func (w *work) dividedBoot() (b *bootloader.Boot, node string) {
	if w.divided == nil {
		return nil, ""
	}
	return w.divided.boot()
}

// openPool opens the pool that stays, if it is encrypted. Nothing is written.
func (w *work) openPool(ctx context.Context) error {
	if !w.place.Encrypted() {
		return nil
	}
	if w.o.Tools != nil {
		if err := w.o.Tools(ctx, luks.Program); err != nil {
			return fmt.Errorf("%w: the pool of this machine is encrypted: %w", ErrRefused, err)
		}
	}
	var place pool.Place
	var end func() error
	err := w.keys()(ctx, pool.ErrClosed, func(keys [][]byte) (err error) {
		place, end, err = w.place.Unlock(ctx, keys...)
		return err
	})
	if err != nil {
		return w.unusable(err)
	}
	w.place, w.undo = place, append(w.undo, end)
	return nil
}
