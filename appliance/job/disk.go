package job

import (
	"fmt"
	"strings"
)

// Disk is one whole disk that could be installed on.
type Disk struct {
	Path       string      `json:"path"`             // "/dev/vda"
	Model      string      `json:"model,omitempty"`  // as the hardware says it: hostile
	Serial     string      `json:"serial,omitempty"` // as the hardware says it: hostile; may be "" or shared by several disks
	WWN        string      `json:"wwn,omitempty"`    // world-wide name as the kernel writes it, "naa.5000c500a1b2c3d4": hostile; may be "" or shared
	Place      string      `json:"place,omitempty"`  // where it is plugged in, as in /dev/disk/by-path: "pci-0000:00:1f.2-ata-1"; "" if not known
	Bus        string      `json:"bus,omitempty"`    // "virtio", "sata", "nvme", "mmc", "usb", "firewire", "scsi"
	Size       int64       `json:"size"`             // bytes
	SectorSize int         `json:"sectorSize"`       // logical, bytes: 512 or 4096
	Removable  bool        `json:"removable,omitempty"`
	ReadOnly   bool        `json:"readOnly,omitempty"`
	Table      string      `json:"table,omitempty"`      // "gpt", "mbr", "mac", "sun"… or ""
	Damaged    string      `json:"damaged,omitempty"`    // what is wrong with Table, in words; "" for nothing
	Signature  string      `json:"signature,omitempty"`  // of the whole disk where it is not partitioned: "btrfs", "ext4", "LVM2_member"…
	Label      string      `json:"label,omitempty"`      // that Signature has
	Sampled    string      `json:"sampled,omitempty"`    // Zeros, Ones, or in words why the disk is not known to be either; "" if it was not read
	Unfinished string      `json:"unfinished,omitempty"` // ID of the job whose install was begun here and not ended
	Installed  string      `json:"installed,omitempty"`  // ID of the job whose install was ended here
	Partitions []Partition `json:"partitions,omitempty"`
}

// Partition is one entry of a partition table, with what it was found to hold.
type Partition struct {
	Number     int    `json:"number"`
	Start      int64  `json:"start"` // bytes
	Size       int64  `json:"size"`  // bytes
	Name       string `json:"name,omitempty"`
	Type       string `json:"type,omitempty"`       // "EFI system", "Linux filesystem"…, or the bare type code
	Filesystem string `json:"filesystem,omitempty"` // "ext4", "ntfs"…, "" if nothing is recognised
	Label      string `json:"label,omitempty"`
}

// The two values of Disk.Sampled that a blank disk has: every byte that was read is 0x00, or every byte is 0xff.
const (
	Zeros = "zeros"
	Ones  = "ones"
)

// Blank says whether it was proved that the disk is blank: it has no partition table and no known signature, and every
// byte that was read from all over it is 0x00, or every byte is 0xff. A disk that was not read is not blank.
func (d Disk) Blank() bool {
	return (d.Sampled == Zeros || d.Sampled == Ones) && !d.recognised() && d.Unfinished == "" && d.Installed == ""
}

// recognised says whether something on the disk has a name.
func (d Disk) recognised() bool { return d.Table != "" || d.Signature != "" || len(d.Partitions) > 0 }

// Holds lists what the disk holds, one line each, in the words that are shown before it is destroyed. It is empty for a
// blank disk, and for no other.
func (d Disk) Holds() []string {
	var out []string
	if d.Signature != "" {
		out = append(out, "whole disk: "+labelled(d.Signature, d.Label))
	}
	switch {
	case d.Table == "":
	case d.Damaged != "":
		out = append(out, fmt.Sprintf("a damaged %s partition table: %s", Printable(d.Table), Sentence(d.Damaged)))
	case len(d.Partitions) == 0:
		out = append(out, fmt.Sprintf("an empty %s partition table", Printable(d.Table)))
	}
	for _, p := range d.Partitions {
		what := Printable(p.Filesystem)
		if what == "" {
			what = Printable(p.Type)
		}
		if what == "" {
			what = "unknown content"
		}
		out = append(out, fmt.Sprintf("partition %d: %s, %s", p.Number, Bytes(p.Size), labelled(what, p.Label)))
	}
	if len(out) == 0 && !d.Blank() {
		out = append(out, d.unproved())
	}
	return out
}

// unproved says why a disk without a table or a known signature is not blank.
func (d Disk) unproved() string {
	switch why := Sentence(d.Sampled); {
	case d.Unfinished != "" || d.Installed != "":
		return "an install that began"
	case why != "":
		return "something that is not recognised: " + why
	case d.Removable:
		return "unknown content: the disk is removable, and was not read"
	case d.ReadOnly:
		return "unknown content: the disk is read-only, and was not read"
	}
	return "unknown content: the disk was not read"
}

// Loss is Holds on one line, at most four entries of it.
func (d Disk) Loss() string {
	holds := d.Holds()
	if n := len(holds); n > 5 {
		holds = append(holds[:4:4], fmt.Sprintf("and %d more", n-4))
	}
	return strings.Join(holds, "; ")
}

// labelled names a filesystem by its type and, where it has one, the label that people know it by.
func labelled(what, label string) string {
	what = Printable(what)
	if label = Printable(label); label != "" {
		what += fmt.Sprintf(" %q", label)
	}
	return what
}

// String names a disk for people: path, size, serial and model, the one that matters least last. A serial is never cut.
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
