// Package layout is the language of layouts: how the disks of a machine are to be divided, and what of them stays.
//
// Read a file with package layoutfile, which gives a Document. Document.Check finds every mistake that can be found
// without a disk; package plan applies a document to the disks of a machine. A document travels as JSON.
//
// What a document does not mention stays untouched. What it mentions and a disk has must agree, or the plan refuses.
// Nothing is overwritten but where wipe is true: on a disk, its table and all partitions; on a partition, that one.
//
// A disk that the document mentions:
//
//	on the disk                                             neither            blank            wipe
//	nothing, and that is proved (job.Disk.Blank)            table is made      table is made    table is made
//	an intact GPT or MBR, and table says the same, or ""    table is kept      refused          made, all is lost
//	an intact GPT or MBR, and table says the other one      refused            refused          made, all is lost
//	a damaged table, or one of another kind                 refused            refused          made, all is lost
//	a signature of the whole disk: filesystem, RAID, LVM    refused            refused          made, all is lost
//	the mark of an install that did not finish              refused            refused          made, all is lost
//	content without a name, or it was not read              refused            refused          made, all is lost
//
// A partition that the document mentions names one on the disk: by match, and otherwise by what it is (Partition.Use).
// Every partition of a table that is made is missing at first.
//
//	the document says        missing     agrees     holds another thing    has another size    several
//	no match                 made        kept       refused                refused             refused
//	no match, keep           refused     kept       refused                refused             refused
//	no match, wipe           made        wiped      wiped                  refused             refused
//	match, keep or not       refused     kept       refused                -                   refused
//	match, wipe              refused     wiped      wiped                  -                   refused
//	shrink                   refused     shrunk     refused                -                   refused
//	nothing                  -           kept       kept                   kept                kept
//
// Wiped means that the partition gets a new filesystem, where it is and as large as it is. A partition agrees if it has
// what the document says of it: filesystem, label and size; what the document leaves out, percents and "rest" are not
// compared.
//
// Two partitions with the use pool, on two disks, are one pool: a mirror (see mirror.go).
//
// Sources: the nouns and match are those of subiquity's storage version 2 (https://canonical-subiquity.readthedocs-
// hosted.com, "Autoinstall configuration reference", storage); the rules of keeping are those of Ignition 3
// (https://coreos.github.io/ignition, "Operator notes", filesystem reuse semantics and partition reuse semantics).
package layout

import "slices"

// Version is the version of the language that this package knows.
const Version = 1

// Document is a layout. It is valid if Check finds nothing.
type Document struct {
	Version int    `json:"version"`
	Disks   []Disk `json:"disks"`
	// Raids and Groups are made on top of partitions, in this order.
	Raids  []Raid  `json:"raid,omitempty"`
	Groups []Group `json:"lvm_volgroup,omitempty"`
}

// Disk is one disk of a machine.
type Disk struct {
	ID    string `json:"id"` // a name in the document
	Match Match  `json:"match"`
	// Table is GPT or MBR; "" is the one that the disk has, and GPT if it has none.
	Table      string      `json:"table,omitempty"`
	Wipe       bool        `json:"wipe,omitempty"`
	Blank      bool        `json:"blank,omitempty"` // nothing must be on the disk
	Partitions []Partition `json:"partitions"`
}

// The tables that a layout can make.
const (
	GPT = "gpt"
	MBR = "mbr"
)

// Partition is one partition: one that the disk has, or one that it gets.
type Partition struct {
	ID         string  `json:"id"`
	Match      *Which  `json:"match,omitempty"` // the partition of the disk that is meant
	Use        string  `json:"use,omitempty"`
	Size       Size    `json:"size,omitzero"`
	Filesystem string  `json:"filesystem,omitempty"`
	Label      string  `json:"label,omitempty"` // of the filesystem
	Mount      string  `json:"mount,omitempty"` // where the installed system has it: an absolute path
	Keep       bool    `json:"keep,omitempty"`
	Wipe       bool    `json:"wipe,omitempty"`
	Shrink     *Shrink `json:"shrink,omitempty"`
	LUKS       *LUKS   `json:"luks,omitempty"` // nil if it is not encrypted
}

// The uses of a partition. A partition of the disk is meant by a use without match if it is what the use says.
const (
	ESP  = "esp"  // the EFI system partition: one of that type
	BIOS = "bios" // where a GPT has GRUB for BIOS: a partition of type BIOS boot; a disk with an MBR needs none
	Pool = "pool" // the system: one that Griddle's installer made
	Data = "data" // a filesystem that is mounted, with the label that the document says
	Home = "home" // the same, at /home
	Swap = "swap" // swap, with the label that the document says
	Boot = "boot" // kernels and initrds of the roots of an encrypted pool; see the file boot.go

	// Root and Persistent are what a machine without a pool has; see the file roots.go.
	Root       = "root"       // one of two filesystems, each of which is a system
	Persistent = "persistent" // what both systems share: /home and /persistent
)

// Which says which partition of a disk is meant: the one with all that is given.
type Which struct {
	Number     int    `json:"number,omitempty"`
	Name       string `json:"name,omitempty"`       // in the table; a pattern
	Label      string `json:"label,omitempty"`      // of the filesystem; a pattern
	Filesystem string `json:"filesystem,omitempty"` // "ntfs", "ext4"…
}

// Shrink says how far a filesystem and its partition are to be shrunk. Exactly one of the three is given. Without
// Partition.Match the last partition of the disk is meant that can be shrunk.
type Shrink struct {
	To    Size `json:"to,omitzero"`    // its new size
	By    Size `json:"by,omitzero"`    // how much becomes free
	Leave Size `json:"leave,omitzero"` // how much free space the filesystem has afterwards
}

// Made is the use, filesystem, label and size that a partition gets where the document leaves them out.
func (p Partition) Made() Partition {
	switch p.Use {
	case ESP:
		p.Filesystem = "vfat"
		if p.Size.IsZero() {
			p.Size = Size{Bytes: 260 << 20}
		}
	case BIOS:
		if p.Size.IsZero() {
			p.Size = Size{Bytes: 1 << 20}
		}
	case Pool:
		p.Filesystem, p.Label = "btrfs", PoolLabel
	case Boot:
		p.Label = BootLabel
		if p.Size.IsZero() {
			p.Size = Size{Bytes: 1 << 30}
		}
	case Swap:
		p.Filesystem = "swap"
	case Home:
		if p.Mount == "" {
			p.Mount = "/home"
		}
	}
	if filesystems := uses[p.Use]; p.Filesystem == "" && len(filesystems) > 0 {
		p.Filesystem = filesystems[0]
	}
	if p.Label == "" && slices.Contains(labelled, p.Use) {
		p.Label = p.ID
	}
	return p
}

// The names in a GPT of the partitions that Griddle makes, and the labels of the filesystems of the pool and of a
// partition with the use Boot. The name of a pool is not job.PoolName: by that, agents that know no layouts take a
// whole disk for Griddle's.
const (
	NameESP   = "griddle-esp"
	NameBIOS  = "griddle-bios"
	NamePool  = "griddle"
	PoolLabel = "griddle"
	BootLabel = "griddle-boot"
)
