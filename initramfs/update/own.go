package update

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	"griddle/appliance/job"
	"griddle/imagestore/content"
	"griddle/initramfs/bootloader"
	"griddle/initramfs/newroot"
	"griddle/initramfs/pool"
	"griddle/initramfs/pool/carry"
	"griddle/initramfs/pool/history"
	"griddle/initramfs/pool/intake"
	"griddle/initramfs/rootfs"
	"griddle/initramfs/subvolume"
	"griddle/initramfs/sysroot"

	"golang.org/x/sys/unix"
)

// runOwn is run on a machine whose roots are partitions of their own.
func (w *work) runOwn(ctx context.Context) (Result, error) {
	w.enter(job.PhaseCheck, "checking %s and the roots", w.Spec.Image.Ref)
	m, err := w.checkOwn(ctx)
	if err != nil {
		return Result{}, err
	}
	w.complete()
	if w.imageOfOld() == w.image.Ref() && !w.Reinstall {
		return Result{Root: w.old.Name, Current: true}, w.stay()
	}
	if w.Prepare {
		return Result{}, nil
	}
	to, err := w.other()
	if err != nil {
		return Result{}, err
	}
	if err := w.fillOwn(ctx, to, m); err != nil {
		return Result{}, err
	}
	w.enter(job.PhaseBootable, "creating the new root")
	if err := w.makeOwn(ctx, to); err != nil {
		return Result{}, err
	}
	w.note(history.Event{Kind: history.Made, Root: to.Name, Image: intake.Name(w.image.Ref())})
	return w.start(ctx, to.Name)
}

// checkOwn is check. It writes nothing.
func (w *work) checkOwn(ctx context.Context) (*content.Manifest, error) {
	if err := power(w.Power); err != nil {
		return nil, err
	}
	if w.Spec.Reset.After("") != "" {
		return nil, fmt.Errorf("%w: a system that is fresh at each start needs a pool, and the roots of this machine "+
			"are partitions", ErrImage)
	}
	var err error
	if w.contents, err = w.Pool.Read(); err != nil {
		return nil, err
	}
	if w.old, err = oldRoot(w.contents); err != nil && !w.Reinstall {
		return nil, err
	}
	if _, err := w.other(); err != nil {
		return nil, err
	}
	if w.image, err = w.Open(ctx, nil); err != nil {
		return nil, err
	}
	if err := w.age(); err != nil {
		return nil, err
	}
	m, err := w.image.Content(ctx)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(w.provable(m), w.opens(m), w.volumes(m)); err != nil {
		return nil, err
	}
	if err := newroot.CheckKernel(w.image.Ref(), m); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrImage, err)
	}
	if err := newroot.CheckInitrd(w.image.Ref(), m); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrImage, err)
	}
	if err := w.ask(ctx, m); err != nil {
		return nil, err
	}
	if w.settings != nil && w.settings.Swap > 0 {
		return nil, fmt.Errorf("%w: the settings of this machine have a swap file, and roots that are partitions have "+
			"none: give this machine swap: 0", ErrImage)
	}
	return m, w.roomOwn()
}

// other is the root that the update takes: the one that does not run, and does not start if another one fails.
func (w *work) other() (pool.Own, error) {
	c := w.contents
	if w.old.Name != "" && c.Good != "" && c.Good != w.old.Name {
		return pool.Own{}, fmt.Errorf("%w: %s runs on trial, and %s is the one to go back to: wait until it has "+
			"proved itself", ErrBusy, pool.Label(w.old.Name), pool.Label(c.Good))
	}
	for _, o := range w.Place.Own {
		at := slices.IndexFunc(c.Roots, func(r pool.Root) bool { return r.Name == o.Name })
		if o.Name == w.old.Name || at < 0 {
			continue
		}
		return o, nil
	}
	return pool.Own{}, errors.New("updating this machine: its second root cannot be mounted: check that partition " +
		"with fsck, or install the machine again")
}

// roomOwn refuses an image for which the other root is too small. What a delta starts from is there meanwhile.
func (w *work) roomOwn() error {
	to, err := w.other()
	if err != nil {
		return err
	}
	var st unix.Statfs_t
	if err := unix.Statfs(w.Pool.RootDir(to.Name), &st); err != nil {
		return fmt.Errorf("asking how large %s is: %w", to.Name, err)
	}
	need := w.image.Size() + w.image.Size()/7 + reserve
	if len(w.image.Streams()) > 1 {
		need += w.image.Size()
	}
	if has := int64(st.Blocks) * st.Bsize; has < need {
		return fmt.Errorf("%w: the root %s has %s, and %s needs %s", ErrRoom, pool.Label(to.Name), job.Bytes(has),
			w.image.Ref(), job.Bytes(need))
	}
	return nil
}

// fillOwn receives the image into a root. Before the first change that root is nothing that the machine starts.
func (w *work) fillOwn(ctx context.Context, to pool.Own, m *content.Manifest) error {
	dir := w.Pool.RootDir(to.Name)
	if w.contents.Candidate == to.Name {
		if err := w.Pool.Forget(to.Name); err != nil {
			return err
		}
	}
	if err := os.Remove(filepath.Join(dir, bootloader.Marker)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("emptying the root %s: %w", to.Name, err)
	}
	if err := subvolume.Sync(dir); err != nil {
		return err
	}
	raw := rootfs.Raw(w.image)
	w.enter(job.PhaseReceive, "receiving %s into %s: %d streams, %s", w.image.Ref(), pool.Label(to.Name),
		len(w.image.Streams()), job.Bytes(raw))
	var done atomic.Int64
	stop := w.follow(raw, &done, w.Wire, w.Ways)
	err := rootfs.Receive(ctx, dir, w.image, rootfs.Options{Progress: done.Store, Spool: w.Spool})
	stop()
	if err != nil {
		return err
	}
	w.enter(job.PhaseVerify, "comparing the received files with the content manifest of %s", w.image.Ref())
	done.Store(0)
	defer w.follow(m.Size(), &done, func() int64 { return 0 }, nil)()
	return content.Verify(ctx, dir, m, done.Store)
}

// makeOwn makes a system of the image in a root. It is durable on return.
func (w *work) makeOwn(ctx context.Context, to pool.Own) (err error) {
	if err := w.unmountLeftovers(); err != nil {
		return err
	}
	if err := os.MkdirAll(w.Mount, 0o700); err != nil {
		return fmt.Errorf("making mount point: %w", err)
	}
	off, err := subvolume.OtherAt(to.Filesystem, to.Node, w.Mount)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, off()) }() // which syncs
	if err := rootfs.KeepEtc(ctx, w.Mount); err != nil {
		return err
	}
	var old *os.Root
	if w.old.Name != "" {
		if old, err = os.OpenRoot(w.Pool.RootDir(w.old.Name)); err != nil {
			return fmt.Errorf("opening the old root: %w", err)
		}
		defer old.Close()
	}
	o := w.rootOptions(to.Name, old)
	o.PoolID, o.Own = w.Place.PoolID, &newroot.Own{UUID: to.UUID, Filesystem: to.Filesystem}
	if old != nil {
		if err := rootfs.KeepBefore(ctx, old, w.Mount); err != nil {
			return err
		}
		o.Carry = func(ctx context.Context, root *os.Root) error { return w.carryOwn(ctx, old, root) }
	}
	if err := newroot.Make(ctx, w.Mount, o); err != nil {
		return err
	}
	if err := w.remember(to.Name); err != nil {
		w.warn("what changes until the restart will not be in the new root: %v", err)
	}
	return nil
}

// carryOwn is carry, with what the old root kept of its image.
func (w *work) carryOwn(ctx context.Context, old, root *os.Root) error {
	image, err := rootfs.OpenImage(old)
	if err != nil {
		return fmt.Errorf("opening the old root's image: %w", err)
	}
	if image != nil {
		defer image.Close()
	}
	return w.carryTrees(ctx, carry.Trees{Old: old, Image: image, New: root})
}

// imageOfOld is the reference of the image that the old root was made of, "" if it does not say.
func (w *work) imageOfOld() string {
	if w.old.Name == "" {
		return ""
	}
	root, err := os.OpenRoot(w.Pool.RootDir(w.old.Name))
	if err != nil {
		return ""
	}
	defer root.Close()
	b, err := sysroot.Dir{Root: root}.Read(newroot.ImageFile[1:])
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
