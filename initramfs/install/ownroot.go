package install

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"

	"griddle/appliance/job"
	"griddle/appliance/layout"
	"griddle/imagestore/content"
	"griddle/initramfs/bootloader"
	"griddle/initramfs/divide"
	"griddle/initramfs/newroot"
	"griddle/initramfs/pool"
	"griddle/initramfs/rootfs"
)

// own says whether the roots of the layout are partitions of their own.
func (d *divided) own() bool { return d.part(layout.Root).Number > 0 }

// roots are the partitions of the roots; the first one gets the system.
func (d *divided) roots() (out []divide.Place) {
	for _, p := range d.made.Parts {
		if p.Part.Use == layout.Root {
			out = append(out, p)
		}
	}
	return out
}

// ownRoots are the same for grub.cfg; nil where the roots are in a pool.
func (d *divided) ownRoots() (out []bootloader.OwnRoot) {
	for _, p := range d.roots() {
		out = append(out, bootloader.OwnRoot{Name: p.Part.Label, UUID: p.UUID})
	}
	return out
}

// ownSystem receives the image into the first root that is a partition, and makes it bootable. What an earlier start of
// this job received there is deleted, and what it left in the pool stays.
func (w *work) ownSystem(ctx context.Context, m *content.Manifest) error {
	made, p := w.divided.made, &w.parts
	p.esp, p.pool, p.espID, p.poolID = made.ESP.Node, made.Pool.Node, made.ESP.UUID, made.Pool.UUID
	p.bios = made.BIOS
	if err := w.mount(); err != nil {
		return err
	}
	// A pool of folders: see package pool.
	for _, folder := range []string{newroot.Folder, "@persistent"} {
		if err := os.MkdirAll(filepath.Join(p.poolDir, folder), 0o755); err != nil {
			return fmt.Errorf("making the folders of the pool: %w", err)
		}
	}
	if err := w.persistent(p.poolDir); err != nil {
		return err
	}
	if err := w.beside(p.poolDir); err != nil {
		return err
	}
	if err := w.keepRoots(); err != nil {
		return err
	}
	root := w.divided.roots()[0]
	if err := w.fillRoot(ctx, root, m); err != nil {
		return err
	}
	w.enter(job.PhaseBootable, "creating the system and its bootloader")
	if err := rootfs.KeepEtc(ctx, w.newRoot()); err != nil {
		return err
	}
	o := w.rootOptions(root.Part.Label)
	o.Own = &newroot.Own{UUID: root.UUID, Filesystem: root.Part.Filesystem}
	if err := newroot.Make(ctx, w.newRoot(), o); err != nil {
		return err
	}
	return w.bootloader(root.Part.Label)
}

// keepRoots keeps in the pool which partitions the roots are.
func (w *work) keepRoots() error {
	dir, err := pool.Persistent(w.parts.poolDir)
	if err != nil {
		return err
	}
	return errors.Join(pool.WriteOwn(dir, w.divided.ownRoots()), dir.Close())
}

// fillRoot mounts a root, has it hold the tree of the image, and compares that with its manifest.
func (w *work) fillRoot(ctx context.Context, root divide.Place, m *content.Manifest) error {
	if err := os.MkdirAll(w.newRoot(), 0o700); err != nil {
		return fmt.Errorf("making mount point: %w", err)
	}
	if err := mountOwn(root.Part.Filesystem, root.Node, w.newRoot()); err != nil {
		return err
	}
	raw := rootfs.Raw(w.img)
	w.enter(job.PhaseReceive, "receiving %s into %s: %d streams, %s", w.img.Ref(), root.Part.Label,
		len(w.img.Streams()), job.Bytes(raw))
	var done atomic.Int64
	stop := w.follow(raw, done.Load, w.o.Wire, w.o.Ways)
	err := rootfs.Receive(ctx, w.newRoot(), w.img, rootfs.Options{Progress: done.Store, Spool: w.o.Spool})
	stop()
	// Mounted again, nothing of it is left in memory.
	if off := unmount(w.newRoot()); err == nil {
		err = off
	}
	if err == nil {
		err = mountOwn(root.Part.Filesystem, root.Node, w.newRoot())
	}
	if err != nil {
		return err
	}
	w.undo = append(w.undo, func() error { return unmount(w.newRoot()) })
	w.enter(job.PhaseVerify, "comparing the written files with the content manifest of %s", w.img.Ref())
	done.Store(0)
	defer w.follow(m.Size(), done.Load, func() int64 { return 0 }, nil)()
	return content.Verify(ctx, w.newRoot(), m, done.Store)
}
