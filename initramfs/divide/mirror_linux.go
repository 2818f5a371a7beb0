package divide

import (
	"context"

	"griddle/initramfs/disk"

	"github.com/google/uuid"
)

// makeMirror makes one btrfs in partitions of several disks, each of which is cleared. It is makeFilesystem for all of
// them at once: its UUID is in the journal before, and what an interruption leaves in some of the partitions is made
// again. Each partition gets the unfinished mark of the job.
func makeMirror(ctx context.Context, r *run, i int, first *held) error {
	halves := r.plan.Steps[i].Each()
	on := make([]*held, len(halves))
	for n, s := range halves {
		if on[n] = first; n == 0 {
			continue // its condition is checked
		}
		h, err := r.find(ctx, s.Disk)
		if err == nil && r.past[i].begun {
			err = r.holdsTable(i, s, h.disk)
		} else if err == nil {
			err = r.holds(i, s, h.disk)
		}
		if err != nil {
			return err
		}
		on[n] = h
	}
	nodes := make([]string, len(halves))
	for n, s := range halves {
		var err error
		if nodes[n], err = r.ready(ctx, i, s, on[n]); err != nil {
			return err
		}
	}
	id := uuid.NewString()
	if err := r.record(ctx, Entry{Step: i + 1, State: Begun, UUID: id}); err != nil {
		return err
	}
	if err := disk.MakeBtrfs(ctx, halves[0].Label, id, nodes...); err != nil {
		return err
	}
	for n, s := range halves {
		if err := r.settled(ctx, s, nodes[n]); err != nil {
			return err
		}
	}
	for n, s := range halves {
		if err := r.begin(s, on[n]); err != nil {
			return err
		}
	}
	return nil
}
