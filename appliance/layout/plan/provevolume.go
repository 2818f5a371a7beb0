package plan

import (
	"errors"
	"fmt"
	"slices"
)

// proveVolumes checks that each volume is made of partitions that are new or emptied, of earlier volumes, and of
// nothing that another one has; and that the steps that make them are those of the volumes, behind all others.
func (p Plan) proveVolumes() error {
	taken := map[Device]bool{}
	for i, v := range p.Volumes {
		if first := slices.IndexFunc(p.Volumes, func(o Volume) bool { return o.ID == v.ID }); first != i || v.ID == "" {
			return fmt.Errorf("two volumes have the ID %q", v.ID)
		}
		if len(v.On) == 0 || v.Size <= 0 {
			return fmt.Errorf("volume %s has no members or no size", v.ID)
		}
		for _, on := range v.On {
			if taken[on] && v.Kind != Logical {
				return fmt.Errorf("volume %s has a member that another one has", v.ID)
			}
			taken[on] = true
			if err := p.proveMember(v, i, on); err != nil {
				return fmt.Errorf("volume %s: %w", v.ID, err)
			}
		}
	}
	steps := p.volumeSteps()
	at := slices.IndexFunc(p.Steps, func(s Step) bool { return s.Volume != "" })
	if at < 0 {
		at = len(p.Steps)
	}
	if !slices.EqualFunc(p.Steps[at:], steps, func(a, b Step) bool {
		return a.Do == b.Do && a.Volume == b.Volume && a.Kind == b.Kind && a.Size == b.Size &&
			a.Filesystem == b.Filesystem &&
			a.Label == b.Label && a.Disk == "" && a.Number == 0 && a.Start == 0 && len(a.If.Entries)+len(a.With) == 0
	}) {
		return errors.New("its last steps do not make its volumes")
	}
	return nil
}

// proveMember checks a member of volume number i.
func (p Plan) proveMember(v Volume, i int, on Device) error {
	if on.Volume != "" {
		at := slices.IndexFunc(p.Volumes[:i], func(o Volume) bool { return o.ID == on.Volume })
		switch {
		case on.Disk != "" || on.Number != 0:
			return errors.New("a member is two things")
		case at < 0:
			return fmt.Errorf("its member %s is not made before it", on.Volume)
		case p.Volumes[at].Filesystem != "":
			return fmt.Errorf("its member %s has a filesystem", on.Volume)
		case (v.Kind == Logical) != (p.Volumes[at].Kind == Group) || v.Kind == Raid1:
			return fmt.Errorf("its member %s is of the wrong kind", on.Volume)
		}
		return nil
	}
	disk := slices.IndexFunc(p.Disks, func(d Disk) bool { return d.ID == on.Disk })
	if disk < 0 || v.Kind == Logical {
		return fmt.Errorf("it has no disk %q", on.Disk)
	}
	for _, part := range p.Disks[disk].After {
		switch {
		case part.Number != on.Number:
		case part.Fate != Made && part.Fate != Emptied || part.Filesystem != "":
			return fmt.Errorf("partition %d of disk %s is not for it", on.Number, on.Disk)
		case v.Kind == Raid1 && v.Size > part.Size-RaidOffset:
			return fmt.Errorf("it is larger than partition %d of disk %s", on.Number, on.Disk)
		default:
			return nil
		}
	}
	return fmt.Errorf("disk %s has no partition %d", on.Disk, on.Number)
}
