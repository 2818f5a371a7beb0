package layout

import (
	"slices"
	"strings"
)

// uses are the values of Partition.Use, and the filesystems that each can have; the first is the usual one.
var uses = map[string][]string{ESP: {"vfat"}, BIOS: nil, Pool: {"btrfs"}, Swap: {"swap"}, Boot: {"ext4"},
	Data: {"ext4", "xfs", "btrfs", "vfat"}, Home: {"ext4", "xfs", "btrfs"},
	Root: {"ext4", "xfs"}, Persistent: {"ext4"}, RAID: nil, LVM: nil}

// Uses are the values of Partition.Use.
var Uses = []string{ESP, BIOS, Pool, Data, Home, Swap, Boot, Root, Persistent, RAID, LVM}

// labelled are the uses of partitions that are known by their label.
var labelled = []string{Data, Home, Swap, Root, Persistent}

// labels are the bytes that the label of a filesystem can have.
var labels = map[string]int{"ext4": 16, "xfs": 12, "btrfs": 255, "vfat": 11, "swap": 15}

// Shrinkable are the filesystems that can be shrunk.
var Shrinkable = []string{"ntfs", "ext2", "ext3", "ext4", "btrfs"}

func (c *checker) partition(at string, p Partition) {
	c.id(at+".id", p.ID)
	c.purpose(at, p)
	c.kept(at, p)
	c.member(at, p)
	if p.Match != nil {
		c.which(at+".match", *p.Match)
	}
	if p.Shrink != nil {
		c.shrink(at, p)
	}
	c.mount(at+".mount", p)
	c.luks(at+".luks", p)
}

// purpose checks use, filesystem and label.
func (c *checker) purpose(at string, p Partition) {
	filesystems, known := uses[p.Use]
	switch {
	case p.Use == "" && p.Match == nil && p.Shrink == nil:
		c.wrong(at, "add use: "+strings.Join(Uses, ", ")+"; or match", "it does not say what the partition is for, or "+
			"which one is meant")
	case p.Use == "":
	case !known:
		c.wrong(at+".use", "", "%q is not one of %s", short(p.Use), strings.Join(Uses, ", "))
	case p.Filesystem == "" || slices.Contains(filesystems, p.Filesystem):
	case p.Use == Pool && (p.Filesystem == "ext4" || p.Filesystem == "xfs"):
		c.wrong(at+".filesystem", "for "+p.Filesystem+", have two partitions with use: root and one with "+
			"use: persistent in its place", "a pool is a btrfs")
	case len(filesystems) == 0:
		c.wrong(at+".filesystem", "leave it out", "a partition with use: %s has no filesystem", p.Use)
	default:
		c.wrong(at+".filesystem", "", "a partition with use: %s has %s", p.Use, strings.Join(filesystems, " or "))
	}
	c.text(at+".filesystem", p.Filesystem)
	c.text(at+".label", p.Label)
	switch made := p.Made(); {
	case p.Label != "" && slices.Contains([]string{ESP, BIOS, Pool, Boot, Root, Persistent}, p.Use):
		c.wrong(at+".label", "leave it out", "Griddle gives the label of a partition with use: %s", p.Use)
	case len(made.Label) > labels[made.Filesystem] && labels[made.Filesystem] > 0 && (known || p.Wipe):
		place := at + ".label"
		if p.Label == "" {
			place = at + ".id"
		}
		c.wrong(place, "give a shorter label", "as a label of %s, %q has %d bytes, %d are allowed", made.Filesystem,
			short(made.Label), len(made.Label), labels[made.Filesystem])
	}
}

// kept checks which of keep, wipe, shrink and size go together.
func (c *checker) kept(at string, p Partition) {
	switch {
	case (p.Use == Root || p.Use == Persistent) && !p.Wipe && (p.Keep || p.Match != nil):
		c.wrong(at, "leave out keep and match, or write wipe: true", "a layout makes roots and what they share, and "+
			"cannot keep them so far")
	case p.Keep && p.Wipe:
		c.wrong(at+".wipe", "leave out one of them", "a partition is kept or wiped")
	case p.Wipe && p.Use == "":
		c.wrong(at+".wipe", "add use: "+strings.Join(Uses, ", "), "it does not say what the partition is for "+
			"afterwards")
	case p.Size.IsZero():
		if p.Use != "" && p.Made().Size.IsZero() && p.Match == nil && !p.Keep && p.Shrink == nil {
			c.wrong(at, "add size: 20G, 25% or rest", "it does not say how large the partition is to be")
		}
	case p.Match != nil || p.Shrink != nil:
		c.wrong(at+".size", "leave it out", "the partition is on the disk, and has its size")
	case p.Keep && p.Size.Bytes == 0:
		c.wrong(at+".size", "leave it out", "the partition is kept, and has its size")
	}
}

func (c *checker) which(at string, w Which) {
	if w == (Which{}) {
		c.wrong(at, "give number, name, label or filesystem", "it does not say which partition is meant")
	}
	if w.Number < 0 || w.Number > 256 {
		c.wrong(at+".number", "", "%d is not between 1 and 256", w.Number)
	}
	c.pattern(at+".name", w.Name)
	c.pattern(at+".label", w.Label)
	c.text(at+".filesystem", w.Filesystem)
}

func (c *checker) shrink(at string, p Partition) {
	for _, k := range []struct {
		key   string
		given bool
	}{{"use", p.Use != ""}, {"label", p.Label != ""}, {"keep", p.Keep}, {"wipe", p.Wipe}, {"luks", p.LUKS != nil}} {
		if k.given {
			c.wrong(at+"."+k.key, "leave it out", "a partition that is shrunk keeps what it is")
		}
	}
	if p.Filesystem != "" && !slices.Contains(Shrinkable, p.Filesystem) {
		c.wrong(at+".filesystem", "", "%q cannot be shrunk, only %s", short(p.Filesystem),
			strings.Join(Shrinkable, ", "))
	}
	given := 0
	for _, s := range []Size{p.Shrink.To, p.Shrink.By, p.Shrink.Leave} {
		if !s.IsZero() {
			given++
		}
		if s.Rest {
			c.wrong(at+".shrink", "write a size or a share", "the rest is not a size here")
		}
	}
	if given != 1 {
		c.wrong(at+".shrink", "", "it has %d of to, by and leave, and needs exactly one", given)
	}
}
