// Package disk finds the disks of a machine, says what is on them, and lays out an empty one for Griddle.
//
// Scan comes first: it lists the whole disks with what they hold. Inspect does the second half of that for one
// disk. Both only read. Write turns a disk into the layout below; Node finds its partitions' device files and
// MakeBtrfs and MakeFAT fill them. Mark takes the unfinished mark off.
//
//	1 MiB        1 MiB             260 MiB              the rest
//	+-----------+-----------------+--------------------+--------------------------+--------+
//	| MBR, GPT  | 1 griddle-bios  | 2 griddle-esp      | 3 griddle-pool           | backup |
//	| array     | BIOS boot: GRUB | FAT32              | btrfs, label "griddle"   | GPT    |
//	+-----------+-----------------+--------------------+--------------------------+--------+
//
// From the first durable write until everything is in its place the third partition is named
// "griddle-unfinished", and the GUID of the disk is the ID of the job that began it. Whoever finds such a disk
// knows that nothing on it is of value, and to whom it belongs. Mark changes the name as the last step. At every
// moment between, a power cut leaves a disk that Inspect reads as what it was before, as blank, or as unfinished:
// the backup GPT is written before the primary one, each copy's entries before its header, and the protective MBR,
// which alone would look like a foreign table, last.
//
// Everything read from a disk or from its hardware is hostile. Parsers are bounded: a table gives at most 256
// partitions, a chain of logical partitions at most 128, and a signature is looked for at fixed places.
//
// Sources: UEFI 2.10 chapter 5 (GPT); the kernel's block/partitions/msdos.c, include/uapi/linux/blkpg.h,
// Documentation/ABI/stable/sysfs-block; SPC-4 section 7.8 (VPD); and, for the signatures, each format's own
// description as named in signature.go.
package disk

// Disk is one whole disk, as Scan finds it. Its strings are the hardware's own, made valid UTF-8 without control
// characters and trimmed.
type Disk struct {
	Name       string // the kernel's: "vda", "nvme0n1"
	Path       string // "/dev/vda"
	Model      string
	Serial     string // "" where the hardware tells none
	Bus        string // "virtio", "sata", "nvme", "mmc", "usb", "scsi" or ""
	Size       int64  // bytes
	SectorSize int    // logical, bytes
	Removable  bool
	ReadOnly   bool
	Content
}

// Content is what a disk bears.
type Content struct {
	Table      string // "gpt", "mbr" or ""
	Damaged    bool   // a GPT of which one copy is broken or missing
	GUID       string // of a GPT, lower case
	Signature  Signature
	Partitions []Partition
}

// Partition is one entry of a partition table, with what it was found to hold.
type Partition struct {
	Number    int
	Start     int64  // bytes
	Size      int64  // bytes
	Name      string // of a GPT entry
	Type      string // "EFI system", "Linux filesystem"…, or the bare type code
	Signature Signature
}

// The names of the pool's partition, before and after everything is in its place.
const (
	NameUnfinished = "griddle-unfinished"
	NameFinished   = "griddle-pool"
)

// Unfinished is the ID of the job whose install was begun on the disk and not ended, or "".
func (c Content) Unfinished() string { return c.marked(NameUnfinished) }

// Finished is the ID of the job whose install was ended on the disk, or "".
func (c Content) Finished() string { return c.marked(NameFinished) }

func (c Content) marked(name string) string {
	if c.Table != "gpt" {
		return ""
	}
	for _, p := range c.Partitions {
		if p.Name == name {
			return c.GUID
		}
	}
	return ""
}
