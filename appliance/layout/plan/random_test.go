package plan

import (
	"fmt"
	"math/rand/v2"

	"griddle/appliance/job"
	"griddle/appliance/layout"
)

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

// randomDisk is a disk with some partitions, which may be anything and anywhere.
func randomDisk(r *rand.Rand, serial string) job.Disk {
	sector := pick(r, 512, 4096)
	d := job.Disk{Path: "/dev/" + serial, Serial: serial, SectorSize: sector, Model: "m",
		Size: (1 + r.Int64N(64*gib/4096)) * 4096, Table: pick(r, "gpt", "gpt", "mbr", ""), TableID: serial}
	if d.Table == "" {
		d.TableID, d.Sampled = "", pick(r, job.Zeros, job.Ones, "data at 4096")
		return d
	}
	at, unit := int64(pick(r, 34*4096, mib, 63*4096)), int64(pick(r, sector, mib))
	at = (at + unit - 1) / unit * unit
	kinds := []string{"ext4", "ntfs", "btrfs", "xfs", "LVM2_member", ""}
	for n := 1; n <= pick(r, 0, 1, 3, 4, 6); n++ {
		at += r.Int64N(2) * r.Int64N(4*gib/unit) * unit
		p := job.Partition{Number: n, Start: at, Size: (1 + r.Int64N(8*gib/unit)) * unit, Name: pick(r, "", "x"),
			Type: pick(r, "Linux filesystem", "Microsoft basic data", "Windows recovery"), Filesystem: pick(r,
				kinds...),
			Label: pick(r, "", fmt.Sprint("label-", n)), UUID: fmt.Sprint(r.Uint32())}
		switch {
		case n == 1 && r.IntN(2) == 0:
			p.Type, p.Filesystem = "EFI system", "vfat"
		case n == 2 && r.IntN(4) == 0:
			p.Filesystem, p.Name, p.Label = "btrfs", layout.NamePool, layout.PoolLabel
			if p.Installed = pick(r, "", jobID); p.Installed == "" {
				p.Unfinished = jobID
			}
			d.Installed, d.Unfinished = p.Installed, p.Unfinished
		case d.Table == "mbr" && n == 4:
			p.Type, p.Filesystem = "extended", ""
		case n > 4 && d.Table == "mbr":
			return d
		}
		p.Minimum = 1 + r.Int64N(p.Size)
		p.Used = r.Int64N(p.Size)
		if p.Start+p.Size > d.Size-mib {
			return d
		}
		at = (p.Start + p.Size + unit - 1) / unit * unit
		d.Partitions = append(d.Partitions, p)
		if p.Type == "extended" && p.Size > 2*mib {
			d.Partitions = append(d.Partitions, job.Partition{Number: 5, Start: p.Start + mib, Size: p.Size - mib,
				Type: "Linux filesystem", Filesystem: "ext4", Label: "logical"})
		}
	}
	return d
}

// randomLayout is a layout that often fits d, and any other.
func randomLayout(r *rand.Rand, d job.Disk) layout.Document {
	sizes := []layout.Size{size(1 + r.Int64N(4*gib)), size(600 * mib), {Percent: 1 + r.IntN(30)}}
	one := job.Partition{Number: 1, Size: gib, Minimum: 1}
	if len(d.Partitions) > 0 {
		one = pick(r, d.Partitions...)
	}
	which, shrink := &layout.Which{Number: one.Number}, &layout.Shrink{By: pick(r, sizes...)}
	if r.IntN(2) == 0 {
		shrink = &layout.Shrink{To: size(one.Minimum + r.Int64N(one.Size))}
	}
	f := layout.Form{Version: 1, Layout: pick(r, layout.Forms...), Match: job.Match{Serial: "a"}, Partition: which,
		Shrink: shrink, Wipe: true, With: &layout.Match{Serial: "b"}}
	if f.Layout == layout.WholeDisk || f.Layout == layout.Mirror {
		f.Table, f.Wipe = pick(r, "", "mbr"), pick(r, true, false)
	}
	doc := f.Document()
	main := &doc.Disks[0]
	switch {
	case r.IntN(3) > 0:
	case main.Wipe || r.IntN(2) == 0:
		main.Partitions = append(main.Partitions, layout.Partition{ID: "d",
			Use: pick(r, layout.Data, layout.Home, layout.Swap), Size: pick(r, sizes...)})
	default:
		other := pick(r, append(d.Partitions, one)...)
		main.Partitions = append(main.Partitions, layout.Partition{ID: "d", Use: layout.Data, Wipe: true,
			Match: &layout.Which{Number: other.Number}, LUKS: pick(r, nil, &layout.LUKS{
				Unlock: []string{layout.Passphrase}})})
	}
	if f.Layout != layout.Mirror && r.IntN(3) == 0 {
		doc.Disks = append(doc.Disks, layout.Disk{ID: "more", Match: job.Match{Serial: "b"}, Wipe: true,
			Partitions: []layout.Partition{{ID: "more", Use: layout.Data, Filesystem: "xfs", Size: rest}}})
	}
	return doc
}
