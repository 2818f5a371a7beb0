package update

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"

	"griddle/appliance/job"
	"griddle/initramfs/pool"
	"griddle/initramfs/pool/history"
	"griddle/initramfs/pool/intake"
)

// take receives an image, verifies it and returns its folder in the pool. If what it starts from may be damaged, it
// is received in another way.
func (w *work) take(ctx context.Context, t taking) (string, error) {
	parent := t.in.Parent()
	dir, err := w.takeOnce(ctx, t)
	if err == nil {
		w.taken = append(w.taken, dir)
		return dir, nil
	}
	if parent == "" || ctx.Err() != nil || !intake.OfParent(err) {
		return "", err
	}
	w.distrust(filepath.Base(parent), t, err)
	next, err2 := w.open(ctx, t.how)
	if err2 == nil {
		next.manifest = t.manifest
		err2 = w.room(ctx, next)
	}
	if err2 != nil {
		return "", errors.Join(err, err2)
	}
	return w.take(ctx, next)
}

// takeOnce is one attempt of take. An image that is not what its manifest says leaves the pool; roots that were made
// of it stay.
func (w *work) takeOnce(ctx context.Context, t taking) (string, error) {
	dir, err := w.receive(ctx, t)
	if err != nil {
		return "", err
	}
	w.enter(job.PhaseVerify, "comparing the received files with the content manifest of %s", t.image.Ref())
	var done atomic.Int64
	defer w.follow(t.manifest.Size(), &done, func() int64 { return 0 }, nil)()
	if err := t.in.Verify(ctx, t.manifest, done.Store); err != nil {
		if ctx.Err() != nil {
			return "", err
		}
		return "", errors.Join(err, w.Pool.DeleteImage(filepath.Base(dir)))
	}
	return dir, nil
}

// distrust has this update, and all later ones, receive nothing as the difference from an image. It stays in the pool
// as long as the root needs it that was made of it.
func (w *work) distrust(name string, t taking, why error) {
	w.damaged = append(w.damaged, name)
	w.warn("the image %s, from which %s was received as a difference, may be damaged and is not used any more: %v; "+
		"look at the disk of this machine", pool.Label(name), t.image.Ref(), why)
	w.note(history.Event{Kind: history.Damaged, Image: name,
		Reason: fmt.Sprintf("receiving %s as the difference from it: %v", t.image.Ref(), why)})
}

// findDamaged finds the images that earlier updates distrusted.
func (w *work) findDamaged() error {
	dir, err := pool.Persistent(w.Pool.Dir())
	if err != nil {
		return err
	}
	w.damaged, err = Damaged(dir, w.contents)
	return errors.Join(err, dir.Close())
}

// Damaged are the images of a pool from which nothing is received. dir is the folder of its history.
func Damaged(dir *os.Root, c pool.Contents) ([]string, error) {
	all, err := history.Read(dir)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, i := range c.Images {
		if slices.ContainsFunc(all, func(e history.Event) bool { return e.Damages(i.Name, i.Created) }) {
			out = append(out, i.Name)
		}
	}
	return out, nil
}
