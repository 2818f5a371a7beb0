package divide

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"griddle/appliance/layout/plan"
	"griddle/initramfs/disk/content"
	"griddle/initramfs/ntfs"
	"griddle/initramfs/ntfs/volume"
	"griddle/initramfs/resize"
)

// checkFilesystem proves that a filesystem is whole and can be shrunk. It writes nothing to the disk.
func checkFilesystem(ctx context.Context, r *run, i int, h *held) error {
	s := r.plan.Steps[i]
	node, err := r.whole(h, s.Number)
	if err != nil {
		return err
	}
	if err := r.record(ctx, Entry{Step: i + 1, State: Begun}); err != nil {
		return err
	}
	if s.Filesystem == "ntfs" {
		return checkNTFS(ctx, node, s.Size)
	}
	return resize.Check(ctx, node, s.Filesystem, s.Size)
}

// whole is the device file of a partition as large as its entry is now.
func (r *run) whole(h *held, number int) (string, error) {
	for _, p := range h.disk.Partitions {
		if p.Number == number {
			return r.node(h, number, p.Start, p.Size)
		}
	}
	return "", fmt.Errorf("%w: %s has no partition %d", ErrChanged, h.disk, number)
}

// shrinkFilesystem shrinks a filesystem, or continues where an earlier Run was interrupted. On return the filesystem is
// whole in its new size and on the disk.
func shrinkFilesystem(ctx context.Context, r *run, i int, h *held) error {
	s := r.plan.Steps[i]
	node, err := r.whole(h, s.Number)
	if err != nil {
		return err
	}
	if s.Filesystem == "ntfs" {
		err = r.shrinkNTFS(ctx, i, node)
	} else {
		err = resize.Shrink(ctx, resize.Options{Node: node, Kind: s.Filesystem, To: s.Size, Begun: r.past[i].resize,
			Record: func(ctx context.Context, b resize.Begun) error {
				return r.record(ctx, Entry{Step: i + 1, State: Begun, Resize: &b})
			},
			Progress: func(phase string) { r.say(i, phase, 0) }})
	}
	r.shrunkNow[i] = err == nil
	return err
}

func checkNTFS(ctx context.Context, node string, to int64) error {
	facts, err := ntfs.Look(ctx, node)
	if err != nil {
		return err
	}
	var refusals []error
	for _, why := range facts.Refusals {
		refusals = append(refusals, why)
	}
	if err := errors.Join(refusals...); err != nil {
		return err
	}
	if to < facts.Minimum {
		return fmt.Errorf("it cannot be shrunk to %d bytes: it needs %d; choose a larger size", to, facts.Minimum)
	}
	_, err = ntfs.Relocations(ctx, node, to)
	return err
}

// shrinkNTFS leaves to package ntfs what an interruption left, and which entry of its journal was the last one.
func (r *run) shrinkNTFS(ctx context.Context, i int, node string) error {
	s := r.plan.Steps[i]
	o := ntfs.Options{Device: node, To: s.Size, Journal: inner{r, i},
		Progress: func(p ntfs.Progress) { r.say(i, p.Phase, p.Percent) }}
	if last := r.past[i].ntfs; last != nil {
		r.say(i, "waiting for what may still run", 0)
		if err := r.unused(ctx, node); err != nil {
			return err
		}
		o.Begun = &last.Begun
		if _, err := ntfs.Repair(ctx, node, last.Begun, inner{r, i}); err != nil {
			return err
		}
	}
	if !r.past[i].begun {
		if err := r.record(ctx, Entry{Step: i + 1, State: Begun}); err != nil {
			return err
		}
	}
	_, err := ntfs.Shrink(ctx, o)
	return err
}

// inner keeps the entries of package ntfs among those of the step.
type inner struct {
	r *run
	i int
}

func (j inner) Record(ctx context.Context, e ntfs.Entry) error {
	return j.r.record(ctx, Entry{Step: j.i + 1, NTFS: &e})
}

// fits proves, before the table is changed, that the filesystem of step i is not larger than its partition will be.
func (r *run) fits(ctx context.Context, i int, h *held) error {
	s := r.plan.Steps[i]
	uncache(h.f) // others wrote, by another device file
	partition := io.NewSectionReader(h.f, s.Start, s.Size)
	if _, _, err := content.Known(partition, s.Size); err != nil {
		return fmt.Errorf("%s: partition %d: %w", h.disk, s.Number, err)
	}
	now, err := sizeOf(partition, s.Filesystem)
	if err != nil {
		return fmt.Errorf("%w: %s: partition %d: %w", ErrChanged, h.disk, s.Number, err)
	}
	if now > s.Size {
		return fmt.Errorf("%w: %s: the filesystem of partition %d has %d bytes, and should have been shrunk to %d",
			ErrChanged, h.disk, s.Number, now, s.Size)
	}
	return nil
}

// sizeOf is how many bytes a filesystem needs of its partition.
func sizeOf(r io.ReaderAt, kind string) (int64, error) {
	if kind == "ntfs" {
		b, err := volume.ReadBoot(r)
		return b.Size(), err
	}
	return resize.Size(r, kind)
}

// fitted proves, after the table was changed, that the filesystem of step i is whole in its partition.
func (r *run) fitted(ctx context.Context, i int) error {
	s := r.plan.Steps[i]
	h, err := r.find(ctx, s.Disk)
	if err != nil {
		return err
	}
	node, err := r.node(h, s.Number, s.Start, s.Size)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(r.plan.Steps, func(o plan.Step) bool {
		return o.Do == plan.ShrinkFilesystem && o.Disk == s.Disk && o.Number == s.Number
	})
	if s.Filesystem != "ntfs" {
		return resize.Whole(ctx, node, s.Filesystem)
	}
	if at < 0 || r.past[at].ntfs == nil {
		return nil // it was as small as that before
	}
	begun := r.past[at].ntfs.Begun
	if r.shrunkNow[at] {
		return ntfs.Prove(ctx, node, begun)
	}
	// Windows may have started since, and have deleted files.
	found, err := ntfs.Recognise(ctx, node, begun)
	if err == nil && found.State != ntfs.StateShrunk {
		err = fmt.Errorf("%w: %s: the NTFS of partition %d is not whole in its new size: %s: %s", ErrChanged, h.disk,
			s.Number, found.Why, found.Do)
	}
	return err
}
