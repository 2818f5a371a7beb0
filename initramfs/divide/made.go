package divide

import (
	"context"
	"fmt"
	"slices"

	"griddle/appliance/job"
	"griddle/appliance/layout"
	"griddle/appliance/layout/plan"
	"griddle/initramfs/disk"
	"griddle/initramfs/volume"
)

// Made is what the disks have when a plan is carried out.
type Made struct {
	System          // the disk with the pool; of a mirror the first one
	Others []System // of a mirror: the other disks, which have the same
	Parts  []Place  // all partitions and volumes that the layout gives a use, those of System among them

	Volumes volume.Record // what the machine keeps of its volumes

	letGo func(context.Context) error
}

// Release stops the volumes of the plan, which are started until then. Nothing of them may be mounted.
func (m Made) Release(ctx context.Context) error {
	if m.letGo == nil {
		return nil
	}
	return m.letGo(context.WithoutCancel(ctx))
}

// System is what a machine starts from on one disk.
type System struct {
	Disk job.Disk // as it is now
	Pool Place    // or what the roots share, if these are partitions
	ESP  Place
	BIOS Extent // where GRUB for BIOS is written on Disk; zero if there is no place
}

// Place is a partition or a volume.
type Place struct {
	Disk string    // path of its disk; "" of a volume
	Node string    // its device file
	Part plan.Part // as planned
	UUID string    // of its filesystem, as blkid writes it; "" if it has none
	// Volume is the UUID of the LUKS2 volume that the partition is; "" if it is not encrypted. Node is the device file
	// of the opened volume then, and UUID that of the filesystem in it.
	Volume string
	Fresh  bool // its filesystem was made
	// Unrecoverable says that it stays as it was, and that no recovery key opens it, though the layout says so.
	Unrecoverable bool
}

// Extent is a part of a disk, in bytes.
type Extent struct{ Start, Size int64 }

// made looks at the disks once more: they must be as planned.
func (r *run) made(ctx context.Context) (Made, error) {
	var out Made
	for _, planned := range r.plan.Disks {
		h, err := r.find(ctx, planned.ID)
		if err != nil {
			return Made{}, err
		}
		if err := sameEntries(entriesAfter(planned), entriesOf(h.disk)); err != nil {
			return Made{}, fmt.Errorf("%w: %s: %w", ErrChanged, h.disk, err)
		}
		system := System{Disk: h.disk}
		for _, p := range planned.After {
			if p.Use == "" {
				continue
			}
			place, err := r.place(h, p)
			if err == nil && p.Unlock != "" {
				err = r.within(ctx, &place)
			}
			if err != nil {
				return Made{}, err
			}
			out.Parts = append(out.Parts, place)
			switch p.Use {
			case layout.Pool, layout.Persistent:
				system.Pool = place
			case layout.ESP:
				system.ESP = place
			}
		}
		if system.Pool.Node == "" {
			continue
		}
		if system.BIOS = gap(h.disk); out.Pool.Node == "" {
			out.System = system
		} else {
			out.Others = append(out.Others, system)
		}
	}
	volumes, err := r.madeVolumes(ctx)
	if err != nil {
		return Made{}, err
	}
	out.Parts, out.Volumes, out.letGo = append(out.Parts, volumes...), r.recorded(), r.letGo
	return out, nil
}

// entriesAfter are the entries of the table of tomorrow.
func entriesAfter(planned plan.Disk) (out []plan.Entry) {
	for _, p := range planned.After {
		out = append(out, plan.Entry{Number: p.Number, Start: p.Start, Size: p.Size, Type: p.Type, Name: p.Name})
	}
	return sorted(out)
}

// place finds a planned partition, which must have the filesystem that was planned, and where that was made, the one
// that was.
func (r *run) place(h *held, p plan.Part) (Place, error) {
	at := slices.IndexFunc(h.disk.Partitions, func(q job.Partition) bool { return q.Number == p.Number })
	now := h.disk.Partitions[at] // its entry is there
	fresh := p.Fate == plan.Made || p.Fate == plan.Emptied
	uuid := p.UUID
	if fresh {
		uuid = r.uuid(h.planned.ID, p.Number)
	}
	filesystem := p.Filesystem
	if format, is := isMember(p.Use); is {
		filesystem = format
	}
	if err := sameFilesystem(now, filesystem, uuid); err != nil {
		return Place{}, fmt.Errorf("%w: %s: %w", ErrChanged, h.disk, err)
	}
	if _, err := r.node(h, p.Number, p.Start, p.Size); err != nil {
		return Place{}, err
	}
	node, err := disk.Node(h.disk.Path, r.Sys, p.Number)
	if uuid == "" {
		uuid = now.UUID
	}
	return Place{Disk: h.disk.Path, Node: node, Part: p, UUID: uuid, Fresh: fresh}, err
}

// uuid is that of the filesystem or of the encrypted volume that was made in a partition, "" if none was.
func (r *run) uuid(id string, number int) string {
	for i, s := range r.plan.Steps {
		for _, one := range s.Each() {
			makes := s.Do == plan.MakeFilesystem && s.Unlock == "" || s.Do == plan.Encrypt || s.Do == plan.MakeMirror
			if makes && one.Disk == id && one.Number == number {
				return r.past[i].uuids[len(r.past[i].uuids)-1]
			}
		}
	}
	return ""
}

// gap is where GRUB for BIOS goes: the BIOS boot partition of a GPT, or the sectors between an MBR and its first
// partition, of which it takes those before 1 MiB.
func gap(d job.Disk) Extent {
	if d.Table == layout.MBR {
		to := int64(1 << 20)
		for _, p := range d.Partitions {
			to = min(to, p.Start)
		}
		return Extent{int64(d.SectorSize), to - int64(d.SectorSize)}
	}
	for _, p := range d.Partitions {
		if p.Type == "BIOS boot" {
			return Extent{p.Start, p.Size}
		}
	}
	return Extent{}
}
