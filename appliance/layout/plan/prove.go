package plan

import (
	"errors"
	"fmt"
	"slices"

	"griddle/appliance/layout"
)

// Verify says whether p is a plan as Make makes them: of this version, with the hash that it has, and with the
// guarantees of the package doc. It is for plans that were kept, or came from elsewhere.
func (p Plan) Verify() error {
	switch {
	case p.Version != Version:
		return fmt.Errorf("the plan has version %d, and this program knows version %d", p.Version, Version)
	case p.Hash != p.hash():
		return errors.New("the plan is damaged: its hash is not that of its content")
	}
	if err := p.prove(); err != nil {
		return fmt.Errorf("the plan is damaged: %w", err)
	}
	return nil
}

// prove checks the guarantees of the package doc on the plan itself, whatever made it.
func (p Plan) prove() error {
	for _, d := range p.Disks {
		if err := d.prove(); err != nil {
			return fmt.Errorf("disk %s: %w", d.ID, err)
		}
	}
	if err := p.proveVolumes(); err != nil {
		return err
	}
	for i, s := range p.everywhere() {
		if s.Volume != "" { // it touches the members, which are proved to be new or emptied
			continue
		}
		at := slices.IndexFunc(p.Disks, func(d Disk) bool { return d.ID == s.Disk })
		if at < 0 {
			return fmt.Errorf("step %d is of a disk that the plan does not have", i+1)
		}
		for _, a := range s.touches(p.Disks[at]) {
			for _, part := range p.Disks[at].Before {
				if part.Fate == Stays && a.from < part.Start+part.Size && part.Start < a.to {
					return fmt.Errorf("step %d, %s, touches partition %d, which stays", i+1, s.Do, part.Number)
				}
			}
		}
	}
	return nil
}

// prove checks a disk: what stays is the same, and what is made meets nothing.
func (d Disk) prove() error {
	for _, old := range d.Before {
		at := slices.IndexFunc(d.After, func(p Part) bool { return p.Number == old.Number && p.Start == old.Start })
		switch {
		case old.Fate == Lost:
		case at < 0:
			return fmt.Errorf("partition %d would be missing", old.Number)
		case old.Fate == Stays || old.Fate == Extended:
			now := d.After[at]
			now.Mount, now.Use, now.Unlock, now.Inside = "", "", "", ""
			if now != old {
				return fmt.Errorf("partition %d would change", old.Number)
			}
		}
	}
	for i, p := range d.After {
		if p.Fate == Made && (p.Start%mib != 0 || p.Size%mib != 0 || p.Size <= 0 || p.Start < mib ||
			p.Size > d.Size/mib*mib-mib-p.Start) || p.Size <= 0 {
			return fmt.Errorf("partition %d would not be in its place", p.Number)
		}
		for _, q := range d.After[i+1:] {
			changed := p.Fate == Made || p.Fate == Shrunk || q.Fate == Made || q.Fate == Shrunk
			if changed && q.Start < p.Start+p.Size && p.Start < q.Start+q.Size || p.Number == q.Number {
				return fmt.Errorf("partitions %d and %d would overlap", p.Number, q.Number)
			}
		}
	}
	return nil
}

// touches is what a step writes to at most.
func (s Step) touches(d Disk) []area {
	switch s.Do {
	case CheckFilesystem, SaveTable:
		return nil
	case MakeTable:
		return []area{{0, d.Size}}
	case SetSize, AddEntry, SetType:
		sector := int64(d.SectorSize)
		if d.Table == layout.MBR {
			return []area{{0, sector}}
		}
		entries := 128 * 128 / sector
		return []area{{0, (2 + entries) * sector}, {(d.Size/sector - 1 - entries) * sector, d.Size}}
	case ShrinkFilesystem:
		for _, p := range d.Before {
			if p.Number == s.Number {
				return []area{{p.Start, p.Start + p.Size}}
			}
		}
	case Clear, Encrypt, MakeFilesystem, MakeMirror:
		return []area{{s.Start, s.Start + s.Size}}
	}
	return []area{{0, d.Size}} // it is not known
}
