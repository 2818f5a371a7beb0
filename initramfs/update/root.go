package update

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/google/uuid"

	"griddle/appliance/job"
	"griddle/initramfs/newroot"
	"griddle/initramfs/pool"
	"griddle/initramfs/pool/carry"
	"griddle/initramfs/pool/history"
	"griddle/initramfs/pool/intake"
	"griddle/initramfs/pool/reset"
	"griddle/initramfs/subvolume"
	"griddle/initramfs/sysroot"

	"golang.org/x/sys/unix"
)

// Folder is the one of a pool where roots are made.
const Folder = "@new"

// oldName is the name of the old root's snapshot there, as it was when the new root was made of it. It stays until
// the next start, for Refresh. No image begins with a dot.
const oldName = ".old"

// makeRoot makes a root of the image at dir, with the kernel of the image at kernel if that is not "". It gives it its
// name, which it returns.
func (w *work) makeRoot(ctx context.Context, dir, kernel string) (name string, err error) {
	top := w.Pool.Dir()
	if err := w.unmountLeftovers(); err != nil {
		return "", err
	}
	if err := removeLeftovers(top); err != nil {
		return "", err
	}
	if name, err = w.free(intake.Name(w.image.Ref()), filepath.Base(dir)); err != nil {
		return "", err
	}
	at := filepath.Join(top, Folder)
	if err := os.MkdirAll(at, 0o700); err != nil {
		return "", fmt.Errorf("making folder of new roots: %w", err)
	}
	if err := subvolume.Snapshot(dir, at, name); err != nil {
		return "", err
	}
	if err := w.fill(ctx, dir, kernel, name); err != nil {
		return "", errors.Join(err, removeLeftovers(top))
	}
	if err := subvolume.Sync(top); err != nil {
		return "", err
	}
	// Before the root has its name: history.Complete knows from it what a power cut left.
	made := history.Event{Kind: history.Made, Root: name, Image: filepath.Base(dir)}
	if w.reset() != "" {
		made.Reason = "each start has a fresh root of it"
	}
	w.note(made)
	if err := os.Rename(filepath.Join(at, name), filepath.Join(top, newroot.Folder, name)); err != nil {
		return "", fmt.Errorf("naming the new root: %w", err)
	}
	if w.reset() != "" {
		if err := reset.First(ctx, w.Pool, name, 1); err != nil {
			return "", errors.Join(err, removeLeftovers(top))
		}
	}
	if err := w.remember(name); err != nil {
		w.warn("what changes until the restart will not be in the new root: %v", err)
	}
	return name, removeLeftovers(top, oldName)
}

// fill makes the snapshot of the image at dir a system.
func (w *work) fill(ctx context.Context, dir, kernel, name string) (err error) {
	var old *os.Root
	var hand func(context.Context, *os.Root) error
	if w.old.Name != "" {
		if old, err = w.openOld(ctx); err != nil {
			return err
		}
		defer old.Close()
		hand = func(ctx context.Context, root *os.Root) error { return w.carry(ctx, old, root) }
	}
	if err := os.MkdirAll(filepath.Join(w.Pool.Dir(), newroot.Folder), 0o700); err != nil {
		return fmt.Errorf("making folder of roots: %w", err)
	}
	if err := os.MkdirAll(w.Mount, 0o700); err != nil {
		return fmt.Errorf("making mount point: %w", err)
	}
	off, err := subvolume.At(w.Place.Pool, Folder+"/"+name, w.Mount)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, off()) }()
	id, err := subvolume.Filesystem(w.Pool.Dir())
	if err != nil {
		return err
	}
	o := w.rootOptions(name, old)
	o.PoolID, o.Image, o.Kernel, o.Carry = uuid.UUID(id).String(), dir, kernel, hand
	return newroot.Make(ctx, w.Mount, o)
}

// rootOptions say what the new root becomes, which follows the old one; nil for none.
func (w *work) rootOptions(name string, old *os.Root) newroot.Options {
	encrypted, _ := w.contents.Encrypted()
	return newroot.Options{
		Top: w.Pool.Dir(), Node: w.Place.Pool, ESPID: w.espID(old),
		Name: name, Ref: w.image.Ref(),
		Spec: w.Spec, Settings: w.settings, Machine: w.machine(w.hostname(old)), Person: w.Person,
		Event:    func(level job.Level, text string) { w.event(level, text) },
		Instance: w.instance(old), Arguments: w.args, Reset: w.reset(), Copied: encrypted,
		Agent: w.Agent, CA: w.CA, Site: w.Site, GRUB: w.GRUB, Resolv: w.Resolv,
	}
}

// instance is the ID by which cloud-init knows the machine. One that is installed again is another instance.
func (w *work) instance(old *os.Root) string {
	if old == nil || w.Reinstall {
		return ""
	}
	return newroot.Instance(sysroot.Dir{Root: old})
}

// openOld opens the old root: a snapshot of it, so that no one writes to it meanwhile. A snapshot lacks the subvolumes
// that are in the root, so that a root with some is opened itself. Of a base it is what would start next: what people
// changed since the start is not carried.
func (w *work) openOld(ctx context.Context) (*os.Root, error) {
	dir := filepath.Join(w.Pool.Dir(), newroot.Folder, w.old.Name)
	at := filepath.Join(w.Pool.Dir(), Folder)
	switch {
	case w.old.Reset != "":
		if err := reset.Next(ctx, w.Pool, w.old.Name, at, oldName); err != nil {
			return nil, err
		}
		dir = filepath.Join(at, oldName)
	case w.old.InUse:
		if err := subvolume.Snapshot(dir, at, oldName); err != nil {
			return nil, err
		}
		if len(w.old.Inner) == 0 {
			dir = filepath.Join(at, oldName)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the old root: %w", err)
	}
	return root, nil
}

// carry hands over what the old root has for the new one.
func (w *work) carry(ctx context.Context, old, root *os.Root) error {
	t := carry.Trees{Old: old, New: root}
	if w.old.Image != "" {
		image, err := os.OpenRoot(filepath.Join(w.Pool.Dir(), intake.Folder, w.old.Image))
		if err != nil {
			return fmt.Errorf("opening the old root's image: %w", err)
		}
		defer image.Close()
		t.Image = image
	}
	return w.carryTrees(ctx, t)
}

// carryTrees hands over, and says what.
func (w *work) carryTrees(ctx context.Context, t carry.Trees) error {
	r, err := carry.Carry(ctx, t, w.keep())
	for _, what := range r.Carried {
		w.say("kept: %s", what)
	}
	for _, what := range r.Left {
		w.warn("not kept: %s", what)
	}
	if name := w.given(); err == nil && name != "" {
		err = newroot.Rename(sysroot.Dir{Root: t.New}, name)
	}
	return err
}

// keep are the paths that the settings keep.
func (w *work) keep() []string {
	if w.settings == nil {
		return nil
	}
	return w.settings.Keep
}

// free is the name of the new root. One that was made of the same image, and never proved itself, goes for it.
func (w *work) free(name, image string) (string, error) {
	c, err := w.Pool.Read()
	if err != nil {
		return "", err
	}
	for n := 1; ; n++ {
		next := name
		if n > 1 {
			next = fmt.Sprintf("%s.%d", name, n)
		}
		switch _, err := os.Lstat(filepath.Join(w.Pool.Dir(), newroot.Folder, next)); {
		case errors.Is(err, fs.ErrNotExist):
			return next, nil
		case err != nil:
			return "", fmt.Errorf("looking for the name of the new root: %w", err)
		}
		if r, err := c.Root(next); err == nil && r.Image == image && !r.Good && r.Name != c.Good &&
			r.Name != c.Candidate && c.MayDelete(r) == nil {
			return next, w.delete(r)
		}
	}
}

func (w *work) delete(r pool.Root) error {
	w.say("the root %s of an earlier update, which never proved itself, is deleted", pool.Label(r.Name))
	if err := w.Pool.DeleteRoot(r.Name); err != nil {
		return err
	}
	w.note(history.Event{Kind: history.Deleted, Root: r.Name, Image: r.Image, Reason: "the image is tried again"})
	return nil
}

// unmountLeftovers unmounts what a killed update left mounted.
func (w *work) unmountLeftovers() error {
	beside, _ := filepath.Glob(w.Mount + "/*") // see package newroot
	for _, dir := range append(beside, w.Mount) {
		// EINVAL: nothing is mounted there.
		if err := unix.Unmount(dir, unix.UMOUNT_NOFOLLOW); err != nil && !errors.Is(err, unix.EINVAL) &&
			!errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("unmounting %s of an earlier update: %w", dir, err)
		}
	}
	return nil
}

// removeLeftovers deletes what is in the folder of new roots, but for some names.
func removeLeftovers(top string, spare ...string) error {
	dir := filepath.Join(top, Folder)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the folder of new roots: %w", err)
	}
	for _, e := range entries {
		if slices.Contains(spare, e.Name()) {
			continue
		}
		err := subvolume.Delete(dir, e.Name())
		if errors.Is(err, subvolume.ErrOther) {
			err = os.RemoveAll(filepath.Join(dir, e.Name()))
		}
		if err != nil {
			return fmt.Errorf("removing what an earlier update left: %w", err)
		}
	}
	return nil
}
