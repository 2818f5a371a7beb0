package divide

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"griddle/appliance/job"
	"griddle/appliance/layout"
	"griddle/appliance/layout/plan"
	"griddle/initramfs/disk"
	"griddle/initramfs/disk/content"
	"griddle/initramfs/disk/table"
	"griddle/initramfs/swapfile"

	"github.com/google/uuid"
)

// makeFilesystem makes a filesystem in a partition that is cleared. Its UUID is in the journal before, so that what an
// interruption leaves is known as its own, and made again: it has no data yet. The filesystem of a pool, or
// what roots share that are partitions, gets the unfinished mark of the job.
func makeFilesystem(ctx context.Context, r *run, i int, h *held) error {
	s := r.plan.Steps[i]
	if s.Unlock != "" {
		return r.makeWithin(ctx, i, h)
	}
	node, err := r.ready(ctx, i, s, h)
	if err != nil {
		return err
	}
	id := uuid.New()
	if err := r.record(ctx, Entry{Step: i + 1, State: Begun, UUID: written(s.Filesystem, id)}); err != nil {
		return err
	}
	if err := r.mkfs(ctx, i, s.Size, node, id); err != nil {
		return err
	}
	err = r.settled(ctx, s, node)
	if use := r.part(i).Use; err != nil || use != layout.Pool && use != layout.Persistent {
		return err
	}
	return r.begin(s, h)
}

// settled has what programs wrote to the partition of s on the disk, and checks that it is the filesystem of s.
func (r *run) settled(ctx context.Context, s plan.Step, node string) error {
	f, err := r.open(ctx, node, 0)
	if err != nil {
		return err
	}
	err = f.Sync() // what programs wrote, and did not wait for
	if err == nil {
		err = recognised(f, s, s.Filesystem)
	}
	return errors.Join(err, f.Close())
}

// begin gives the pool in the partition of s the unfinished mark of the job.
func (r *run) begin(s plan.Step, h *held) error {
	whole, err := disk.Claim(h.disk.Path)
	if err != nil {
		return err
	}
	mark := table.Begin
	switch {
	case s.Unlock != "":
		mark = table.BeginEncrypted
	case s.Filesystem == "ext4":
		mark = table.BeginOwn
	}
	return errors.Join(mark(whole, h.disk.Size, h.disk.SectorSize, s.Number, r.Job), whole.Close())
}

// ready is the device file of the partition of s, which is step i on one disk. The partition is proved to be cleared,
// or to have what an earlier Run left. Then that is wiped.
func (r *run) ready(ctx context.Context, i int, s plan.Step, h *held) (node string, err error) {
	if node, err = r.node(h, s.Number, s.Start, s.Size); err != nil {
		return "", err
	}
	f, err := r.open(ctx, node, patience)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if !r.past[i].begun {
		cleared, err := zero(f, 0, min(s.Size, ends))
		if err == nil && !cleared {
			err = fmt.Errorf("%w: %s: another system has written to partition %d since it was cleared; nothing more "+
				"was written to it", ErrChanged, h.disk, s.Number)
		}
		return node, err
	}
	if _, _, err := content.Known(f, s.Size); err != nil {
		return "", fmt.Errorf("%s: partition %d: %w", h.disk, s.Number, err)
	}
	at := slices.IndexFunc(h.disk.Partitions, func(p job.Partition) bool { return p.Number == s.Number })
	p := h.disk.Partitions[at] // node found it
	if p.Filesystem != "" && (p.Filesystem != s.Filesystem || !slices.Contains(r.past[i].uuids, p.UUID)) {
		return "", fmt.Errorf("%w: %s: partition %d has another %s than this job was making; nothing more was written "+
			"to it", ErrChanged, h.disk, s.Number, kind(p.Filesystem))
	}
	return node, wipe(f, 0, 0, s.Size)
}

// mkfs makes the filesystem of step i in a device with so many bytes.
func (r *run) mkfs(ctx context.Context, i int, size int64, node string, id uuid.UUID) error {
	s, part := r.plan.Steps[i], r.part(i)
	d := r.planned(s.Disk)
	label := s.Label
	switch s.Filesystem {
	case "btrfs":
		return disk.MakeBtrfs(ctx, label, id.String(), node)
	case "ext4":
		return program(ctx, "mkfs.ext4", "-q", "-F", "-L", label, "-U", id.String(), node)
	case "xfs":
		return program(ctx, "mkfs.xfs", "-q", "-f", "-L", label, "-m", "uuid="+id.String(), node)
	case "swap":
		return r.makeSwap(ctx, node, size, id, label)
	case "vfat":
		if label == "" {
			label = job.ESPLabel(r.Job)
		}
		args := []string{"-n", label, "-i", hex.EncodeToString(id[:4])}
		if part.Use == layout.ESP {
			args = append(args, "-F", "32", "-s", fmt.Sprint(fatCluster(size, d.SectorSize)))
		}
		return program(ctx, "mkfs.vfat", append(args, node)...)
	}
	return fmt.Errorf("a filesystem of kind %q cannot be made: it needs a newer version of Griddle", s.Filesystem)
}

// fatCluster is how many sectors a cluster of an ESP of size bytes has. FAT32 must have 65525 clusters or more, else
// firmware takes it for FAT16 (fatgen103 section 3.5).
func fatCluster(size int64, sector int) int {
	const least, tables = 65525, 1 << 20 // bytes of reserved sectors and two tables, at most
	if sector == 512 && (size-tables)/1024 >= least {
		return 2
	}
	return 1
}

// makeSwap writes the header of a swap area.
func (r *run) makeSwap(ctx context.Context, node string, size int64, id uuid.UUID, label string) error {
	f, err := r.open(ctx, node, 0)
	if err == nil {
		err = errors.Join(write(f, swapfile.Header(size, id, label), 0), f.Close())
	}
	if err != nil {
		return fmt.Errorf("making swap: %w", err)
	}
	return nil
}

// part is what the partition of step i is to be.
func (r *run) part(i int) plan.Part {
	s := r.plan.Steps[i]
	after := r.planned(s.Disk).After
	if at := slices.IndexFunc(after, func(p plan.Part) bool { return p.Number == s.Number }); at >= 0 {
		return after[at]
	}
	return plan.Part{}
}
