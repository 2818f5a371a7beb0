package divide

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"griddle/appliance/job"
	"griddle/appliance/layout/plan"
	"griddle/initramfs/disk"
	"griddle/initramfs/disk/content"
	"griddle/initramfs/disk/table"

	"golang.org/x/sys/unix"
)

// held is a disk of the plan that is kept open, so that its name stays its own.
type held struct {
	planned plan.Disk
	disk    job.Disk // as it is now
	f       *os.File // for reading
}

// find looks at all disks, and returns the one of the plan with an ID of the layout, by its identity. What the names
// were before does not count.
func (r *run) find(ctx context.Context, id string) (*held, error) {
	h := r.held[id]
	if h == nil {
		h = &held{planned: r.planned(id)}
		r.held[id] = h
	}
	// A name that was found may go to another disk before it is opened. One that is open cannot, so that the second
	// look is about what is open.
	for range 8 {
		d, err := r.look(ctx, h.planned)
		if err != nil {
			return nil, err
		}
		if h.f != nil && h.disk.Path == d.Path && h.isAt(d.Path) {
			h.disk = d
			return h, nil
		}
		h.close()
		if h.f, err = os.OpenFile(d.Path, os.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
			return nil, fmt.Errorf("opening disk: %w", err)
		}
		h.disk = d
	}
	return nil, fmt.Errorf("%w: the names of the disks change all the time; look at their cables", ErrChanged)
}

// look finds the planned disk among all that there are now.
func (r *run) look(ctx context.Context, planned plan.Disk) (job.Disk, error) {
	all, err := r.Find(ctx)
	if err != nil {
		return job.Disk{}, fmt.Errorf("looking at the disks again: %w", err)
	}
	var found []job.Disk
	for _, d := range all {
		if planned.Is(d) {
			found = append(found, d)
		}
	}
	switch {
	case len(found) == 1 && found[0].ReadOnly:
		return job.Disk{}, fmt.Errorf("%s can only be read", found[0])
	case len(found) == 1:
		return found[0], nil
	case len(found) == 0:
		return job.Disk{}, fmt.Errorf("%w: the planned disk is missing: %s, serial %q, WWN %q", ErrChanged,
			job.Bytes(planned.Size), planned.Serial, planned.WWN)
	}
	return job.Disk{}, fmt.Errorf("%w: %s and %s look the same; take one of them away", ErrChanged, found[0], found[1])
}

// sample reads samples of a disk on which nothing is recognised, if the look has none, as of a removable disk: only
// what is proved to be blank is.
func (h *held) sample(ctx context.Context) {
	if d := &h.disk; d.Sampled == "" && d.Table == "" && d.Signature == "" && len(d.Partitions) == 0 {
		d.Sampled = content.Sample(ctx, h.f, d.Size)
	}
}

// isAt says whether the open disk is the one that a name has now.
func (h *held) isAt(path string) bool {
	var now, open unix.Stat_t
	return unix.Stat(path, &now) == nil && unix.Fstat(int(h.f.Fd()), &open) == nil && now.Rdev == open.Rdev
}

func (h *held) close() {
	if h.f != nil {
		_ = h.f.Close() // it was only read
	}
	h.f = nil
}

func (r *run) close() {
	for _, h := range r.held {
		h.close()
	}
}

// device is a disk or a partition that is open for writing.
type device interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Sync() error // what was written is on the disk when it returns
}

// claim opens the disk for writing, alone.
func (r *run) claim(h *held) (device, error) {
	f, err := disk.Claim(h.disk.Path)
	if err != nil {
		return nil, err
	}
	size, sector, err := disk.Geometry(f)
	if err == nil && (size != h.disk.Size || sector != h.disk.SectorSize || !h.isAt(h.disk.Path)) {
		err = fmt.Errorf("%w: %s is now another disk", ErrChanged, h.disk.Path)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return r.through(f), nil
}

// through is what a device is written through.
func (r *run) through(f *os.File) device {
	if r.wrap != nil {
		return r.wrap(f)
	}
	return f
}

// announce tells the kernel which partitions a disk has.
func (r *run) announce(h *held, entries []plan.Entry) error {
	var parts []table.Part
	for _, e := range entries {
		if e.Type != "extended" { // it has no device file that anyone needs, and others are within it
			parts = append(parts, table.Part{Number: e.Number, Start: e.Start, Size: e.Size})
		}
	}
	return table.Announce(h.f, r.Sys, parts)
}

// node is the device file of the partition of step s on a disk, which must be where and as large as the plan says.
func (r *run) node(h *held, number int, start, size int64) (string, error) {
	if err := r.announce(h, entriesOf(h.disk)); err != nil {
		return "", err
	}
	at := slices.IndexFunc(h.disk.Partitions, func(p job.Partition) bool { return p.Number == number })
	if at < 0 || h.disk.Partitions[at].Start != start || h.disk.Partitions[at].Size != size {
		return "", fmt.Errorf("%w: %s has no partition %d at byte %d with %d bytes", ErrChanged, h.disk, number, start,
			size)
	}
	return disk.Node(h.disk.Path, r.Sys, number)
}

// open opens the device file of a partition for writing, alone. A program of an earlier Run that was killed may still
// have it: patience is how long to wait for that.
func (r *run) open(ctx context.Context, node string, patience time.Duration) (device, error) {
	end := time.Now().Add(patience)
	for {
		f, err := os.OpenFile(node, os.O_RDWR|unix.O_EXCL|unix.O_CLOEXEC, 0)
		if err == nil {
			return r.through(f), nil
		}
		if !errors.Is(err, unix.EBUSY) {
			return nil, err
		}
		if time.Now().After(end) {
			return nil, fmt.Errorf("opening %s: it is in use; unmount it, or stop the program that has it open: %w",
				node,
				err)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

// patience is how long a program that shrinks a filesystem may still run after the program that started it was killed.
const patience = time.Hour

// unused waits until no program has a partition open alone.
func (r *run) unused(ctx context.Context, node string) error {
	f, err := r.open(ctx, node, patience)
	if err != nil {
		return err
	}
	return f.Close()
}
