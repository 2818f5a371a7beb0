package divide

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"griddle/appliance/layout/plan"
	"griddle/initramfs/disk/content"
)

// clearPartition removes all signatures of what was in a partition. The first thing that it writes is the mark of the
// job in the first sector, and the last thing that it writes is that sector again, as zeros: each is old or new. With
// the mark, what is in the partition was given up by this job.
func clearPartition(ctx context.Context, r *run, i int, h *held) (err error) {
	s := r.plan.Steps[i]
	f, mark, err := r.partition(ctx, i, h)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	first := make([]byte, len(mark))
	if _, err := f.ReadAt(first, 0); err != nil {
		return fmt.Errorf("reading partition %d: %w", s.Number, err)
	}
	cleared, err := zero(f, 0, min(s.Size, ends))
	if err != nil {
		return fmt.Errorf("reading partition %d: %w", s.Number, err)
	}
	has, _, err := content.Known(f, s.Size)
	if err != nil {
		return fmt.Errorf("partition %d: %w", s.Number, err)
	}
	cleared = cleared && has == ""
	if own := r.past[i].begun && (cleared || bytes.Equal(first, mark)); !own {
		if err := errors.Join(r.holds(i, s, h.disk), r.untouched(i, h, f)); err != nil {
			return err
		}
	}
	if err := r.record(ctx, Entry{Step: i + 1, State: Begun}); err != nil {
		return err
	}
	if err := write(f, mark, 0); err != nil {
		return fmt.Errorf("marking partition %d as begun: %w", s.Number, err)
	}
	if err := wipe(f, 0, int64(len(mark)), s.Size); err != nil {
		return err
	}
	if err := write(f, make([]byte, len(mark)), 0); err != nil {
		return fmt.Errorf("wiping old signatures: %w", err)
	}
	if err := recognised(f, s, ""); err != nil {
		return err
	}
	cleared, err = zero(f, 0, min(s.Size, ends))
	if err == nil && !cleared {
		err = errors.New("reading what was written: the disk did not write it")
	}
	return err
}

// untouched fails if something was put into the partition of step i since an earlier step added it.
func (r *run) untouched(i int, h *held, f device) error {
	s := r.plan.Steps[i]
	for j, earlier := range r.plan.Steps[:i] {
		if earlier.Do != plan.AddEntry || earlier.Disk != s.Disk || earlier.Number != s.Number {
			continue
		}
		now, err := sum(f, 0, s.Size)
		if err != nil {
			return err
		}
		if now != r.past[j].sum {
			return fmt.Errorf("%w: %s: another system has written to partition %d since it was added; nothing more "+
				"was written to it", ErrChanged, h.disk, s.Number)
		}
	}
	return nil
}

// partition opens the partition of step i alone, and makes the mark of the job.
func (r *run) partition(ctx context.Context, i int, h *held) (f device, mark []byte, err error) {
	s := r.plan.Steps[i]
	node, err := r.node(h, s.Number, s.Start, s.Size)
	if err != nil {
		return nil, nil, err
	}
	if mark, err = content.BegunSector(r.Job, h.disk.SectorSize); err != nil {
		return nil, nil, err
	}
	f, err = r.open(ctx, node, 0)
	return f, mark, err
}

// recognised fails if what is recognised in a partition is not a filesystem of a kind, "" for nothing.
func recognised(f device, s plan.Step, kindOf string) error {
	uncache(f)
	got, _, err := content.Known(f, s.Size)
	if err != nil {
		return fmt.Errorf("partition %d: %w", s.Number, err)
	}
	if got != kindOf {
		return fmt.Errorf("reading what was written: partition %d has %s, and should have %s", s.Number, kind(got),
			kind(kindOf))
	}
	return nil
}
