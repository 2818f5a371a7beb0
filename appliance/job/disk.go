package job

import (
	"fmt"
	"strings"
)

// Disk is one whole disk of a machine.
type Disk struct {
	Path   string `json:"path"`             // "/dev/vda"
	Model  string `json:"model,omitempty"`  // from the hardware: hostile
	Serial string `json:"serial,omitempty"` // from the hardware: hostile; may be "" or shared by several disks
	// WWN is the world-wide name as the kernel writes it, "naa.5000c500a1b2c3d4": hostile; may be "" or shared.
	WWN string `json:"wwn,omitempty"`
	// Place is where the disk is plugged in, as in /dev/disk/by-path: "pci-0000:00:1f.2-ata-1"; "" if not known.
	Place      string `json:"place,omitempty"`
	Bus        string `json:"bus,omitempty"` // "virtio", "sata", "nvme", "mmc", "usb", "firewire", "scsi"
	Size       int64  `json:"size"`          // bytes
	SectorSize int    `json:"sectorSize"`    // logical, bytes: 512 or 4096
	// PhysicalSector is the size of the sectors inside, in bytes; 0 if not known.
	PhysicalSector int    `json:"physicalSector,omitempty"`
	Rotational     string `json:"rotational,omitempty"` // Rotates, Solid, or "" if not known
	Firmware       string `json:"firmware,omitempty"`   // revision of the disk's firmware: hostile
	// Paths are the device files of a disk that has several, Path first.
	Paths []string `json:"paths,omitempty"`
	// BootAreas are the device files of the areas that an eMMC has beside its disk. No install changes them.
	BootAreas []string `json:"bootAreas,omitempty"`
	// Health is what the disk says of itself; nil if it was not asked.
	Health    *Health `json:"health,omitempty"`
	Removable bool    `json:"removable,omitempty"`
	ReadOnly  bool    `json:"readOnly,omitempty"`
	Table     string  `json:"table,omitempty"`   // "gpt", "mbr", "mac", "sun"… or ""
	Damaged   string  `json:"damaged,omitempty"` // what is wrong with Table, in words; "" if nothing
	// TableID is the GUID of a GPT, in lower case, or the disk signature of an MBR as 8 hex digits; "" if not known.
	TableID string `json:"tableId,omitempty"`
	// UsableFrom and UsableTo are where a GPT lets the first partition begin and the last one end, in bytes; 0 if not
	// known.
	UsableFrom int64  `json:"usableFrom,omitempty"`
	UsableTo   int64  `json:"usableTo,omitempty"`
	Slots      int    `json:"slots,omitempty"`     // how many entries a GPT has room for, in use or not; 0 if not known
	Signature  string `json:"signature,omitempty"` // of a disk without partitions: "btrfs", "ext4", "LVM2_member"…
	Label      string `json:"label,omitempty"`     // of Signature, or the name of what the disk is a member of
	Variant    string `json:"variant,omitempty"`   // of Signature: "RAID1", the version of LUKS…
	// Sampled is Zeros, Ones, or in words why the disk is not blank; "" if it was not read.
	Sampled string `json:"sampled,omitempty"`
	// ID of the job that started to install on this disk and did not finish
	Unfinished string `json:"unfinished,omitempty"`
	// ID of the job that finished an install on this disk; "" also if several did
	Installed  string      `json:"installed,omitempty"`
	Partitions []Partition `json:"partitions,omitempty"`
}

// Partition is one entry of a partition table, with what was found in it.
type Partition struct {
	Number     int    `json:"number"`
	Start      int64  `json:"start"` // bytes
	Size       int64  `json:"size"`  // bytes
	Name       string `json:"name,omitempty"`
	Type       string `json:"type,omitempty"`       // "EFI system", "Linux filesystem"…, or the type code
	Filesystem string `json:"filesystem,omitempty"` // "ext4", "ntfs"…, "" if not recognised
	Label      string `json:"label,omitempty"`      // as Disk.Label
	Variant    string `json:"variant,omitempty"`    // as Disk.Variant
	UUID       string `json:"uuid,omitempty"`       // of Filesystem, as blkid writes it; "" if not known
	// Used is how many bytes of Filesystem are in use. Minimum is the smallest size that it may be shrunk to, in bytes,
	// with the space that its system needs to work. 0 if not known.
	Used    int64 `json:"used,omitempty"`
	Minimum int64 `json:"minimum,omitempty"`
	// Unfit is why Filesystem must not be changed: Hibernated, Unclean, Dirty, or in words; "" if no reason is known.
	Unfit string `json:"unfit,omitempty"`
	// Installed and Unfinished are Disk.Installed and Disk.Unfinished of the one partition that says it itself, on a
	// disk that others share; "" on a disk that Griddle has for itself.
	Installed  string `json:"installed,omitempty"`
	Unfinished string `json:"unfinished,omitempty"`
	// System is the Windows in an NTFS: "Windows 11 Pro 23H2, build 22631.3007, on LAB-07"; "" if it has none: hostile.
	System string `json:"system,omitempty"`
	Pool   *Pool  `json:"pool,omitempty"` // what a finished pool has; nil if it is not known
}

// PoolName is the name in a GPT of a pool whose install was finished, on a disk that Griddle has for itself.
const PoolName = "griddle-pool"

// HasPool says whether the partition of this disk has the pool of a finished install.
func (d Disk) HasPool(p Partition) bool {
	return p.Installed != "" || d.Installed != "" && d.Table == "gpt" && p.Name == PoolName && p.Unfinished == ""
}

// Pool is what a pool has.
type Pool struct {
	Roots  []Root   `json:"roots,omitempty"`  // the newest first
	Images []string `json:"images,omitempty"` // the newest first
}

// The values of Partition.Unfit that have a remedy of their own.
const (
	Hibernated = "hibernated" // Windows keeps its memory in it, or was shut down with fast startup
	Unclean    = "unclean"    // it has changes that were begun and not finished
	Dirty      = "dirty"      // it is marked for a check
)

// The values of Disk.Sampled for a blank disk: every sampled byte is 0x00, or every sampled byte is 0xff.
const (
	Zeros = "zeros"
	Ones  = "ones"
)

// WithoutFacts is d without what is asked about its filesystems, which may be known later than the rest: two values of
// the same disk with the same content are equal then.
func (d Disk) WithoutFacts() Disk {
	d.Partitions = append([]Partition(nil), d.Partitions...)
	for i := range d.Partitions {
		p := &d.Partitions[i]
		p.Used, p.Minimum, p.Unfit, p.System, p.Pool = 0, 0, "", "", nil
	}
	return d
}

// Blank says whether the disk is proved to be blank: it has no partition table and no known signature, and all bytes
// that were sampled across the disk are 0x00, or all are 0xff. A disk that was not read is not blank.
func (d Disk) Blank() bool {
	return (d.Sampled == Zeros || d.Sampled == Ones) && !d.recognised() && d.Unfinished == "" && d.Installed == ""
}

// recognised says whether something on the disk has a name.
func (d Disk) recognised() bool { return d.Table != "" || d.Signature != "" || len(d.Partitions) > 0 }

// Holds lists the disk's content, one line each, as the user sees it before it is destroyed. It is empty only for a
// blank disk.
func (d Disk) Holds() []string {
	var out []string
	if d.Signature != "" {
		out = append(out, "whole disk: "+format(d.Signature, d.Label, d.Variant))
	}
	switch {
	case d.Table == "":
	case d.Damaged != "":
		out = append(out, fmt.Sprintf("a damaged %s partition table: %s", Printable(d.Table), Sentence(d.Damaged)))
	case len(d.Partitions) == 0:
		out = append(out, fmt.Sprintf("an empty %s partition table", Printable(d.Table)))
	}
	for _, p := range d.Partitions {
		out = append(out, fmt.Sprintf("partition %d: %s, %s", p.Number, Bytes(p.Size), p.Describe()))
	}
	if len(out) == 0 && !d.Blank() {
		out = append(out, d.unproved())
	}
	return out
}

// unproved says why a disk without a known table or signature does not count as blank.
func (d Disk) unproved() string {
	switch why := Sentence(d.Sampled); {
	case d.Unfinished != "":
		return "an unfinished install"
	case d.Installed != "":
		return "an install"
	case why != "":
		return "unknown content: " + why
	case d.Removable:
		return "unknown content: the disk is removable and was not read"
	case d.ReadOnly:
		return "unknown content: the disk is read-only and was not read"
	}
	return "unknown content: the disk was not read"
}

// Loss is Holds on one line, with at most five entries.
func (d Disk) Loss() string {
	holds := d.Holds()
	if n := len(holds); n > 5 {
		holds = append(holds[:4:4], fmt.Sprintf("and %d more", n-4))
	}
	return strings.Join(holds, "; ")
}

// Describe says what the partition has, and how full it is, in words.
func (p Partition) Describe() string { return p.holds() + p.more() }

// holds says what the partition has, in words.
func (p Partition) holds() string {
	if Printable(p.Filesystem) != "" {
		return format(p.Filesystem, p.Label, p.Variant)
	}
	if what := Printable(p.Type); what != "" {
		return labelled(what, p.Label)
	}
	return labelled("unknown content", p.Label)
}

// labelled names a filesystem by its type and, where it has one, the label that people know it by.
func labelled(what, label string) string {
	what = Printable(what)
	if label = Printable(label); label != "" {
		what += fmt.Sprintf(" %q", label)
	}
	return what
}

// String describes a disk for people: path, size, serial and model, the least important last. A serial is never cut.
func (d Disk) String() string {
	parts := []string{Printable(d.Path), Bytes(d.Size)}
	if s := Sentence(d.Serial); s != "" {
		parts = append(parts, "serial "+s)
	}
	if m := Printable(d.Model); m != "" {
		parts = append(parts, m)
	}
	return strings.Join(parts, ", ")
}
