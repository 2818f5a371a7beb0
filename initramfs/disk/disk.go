// Package disk finds the disks of a machine, says what is on them, and partitions one for Griddle.
//
// Start with a Scanner: it lists the disks with their content. For one disk, Inspect recognises tables and signatures,
// and Sample decides whether a disk without these is blank. All of them only read. Layout.Write writes the layout below
// to a disk; Node finds the device files of its partitions, and MakeBtrfs and MakeFAT make their filesystems. Mark
// removes the unfinished mark.
//
//	1 MiB        1 MiB             260 MiB              the rest
//	+-----------+-----------------+--------------------+--------------------------+--------+
//	| MBR, GPT  | 1 griddle-bios  | 2 griddle-esp      | 3 griddle-pool           | backup |
//	| array     | BIOS boot: GRUB | FAT32              | btrfs, label "griddle"   | GPT    |
//	+-----------+-----------------+--------------------+--------------------------+--------+
//
// From the first durable write until the end of the install the disk has the mark of its job: nothing on it is of
// value, and it belongs to that job. The first write is one sector, the last of the disk (see begun.go). The backup GPT
// and then the primary GPT follow, each copy's entries before its header: the third partition has the name
// "griddle-unfinished", and the GUID of the disk is the ID of the job. After that, old signatures are wiped. The
// protective MBR is last, because alone it would look like a foreign table. Mark changes the name of the partition as
// the last step of an install. After a power cut at any time, Inspect finds either the old content or an unfinished
// disk.
//
// A disk is blank only if that was proved (Content.Blank). Content that is not recognised is still content, and never
// blank.
//
// Everything read from a disk or from its hardware is hostile. Parsers have limits: a table has at most 256 partitions,
// a chain of logical partitions at most 128, and signatures are read only at fixed places.
//
// Sources: UEFI 2.10 chapter 5 (GPT); the kernel's block/partitions/msdos.c, include/uapi/linux/blkpg.h,
// Documentation/ABI/stable/sysfs-block; SPC-4 section 7.8 (VPD); and, for the signatures, each format's own
// description as named in signature.go.
package disk

// Disk is one whole disk that Scanner found. Its strings come from the hardware, as valid UTF-8 without control
// characters and trimmed.
type Disk struct {
	Name       string // the kernel's: "vda", "nvme0n1"
	Path       string // "/dev/vda"
	Model      string
	Serial     string // "" where the hardware has none
	WWN        string // world-wide name, as the kernel writes it: "naa.5000c500a1b2c3d4", "eui.0025385b71b04e4c", or ""
	Place      string // as udev names it in /dev/disk/by-path: "pci-0000:00:1f.2-ata-1", "" where Scanner does not know
	Bus        string // "virtio", "sata", "nvme", "mmc", "usb", "firewire", "scsi" or ""
	Size       int64  // bytes
	SectorSize int    // logical, bytes
	Removable  bool   // also a card in a reader, and a disk behind an external port
	ReadOnly   bool
	Content
}

// Content is the content of a disk. The zero value means that nothing is known, so it is not blank.
type Content struct {
	Table     string // "gpt", "mbr", "mac", "sun", "sgi", "bsd", "amiga", "atari", what blkid calls it, or ""
	Damaged   string // what is wrong with the table, in words, "" for nothing
	GUID      string // of a GPT, lower case
	Begun     string // ID of the job with a mark in the last sector (see begun.go), or ""
	Signature Signature
	// what Sample returned, "" where it was not asked: something was recognised, or the disk is not to be read
	Sampled    string
	Partitions []Partition
}

// Partition is one entry of a partition table, with what was found in it.
type Partition struct {
	Number    int
	Start     int64  // bytes
	Size      int64  // bytes
	Name      string // of a GPT entry
	Type      string // "EFI system", "Linux filesystem"…, or the bare type code
	Signature Signature
}

// Recognised says whether something on the disk is recognised: a table, a signature, or the mark of a job.
func (c Content) Recognised() bool {
	return c.Table != "" || c.Signature.Type != "" || c.Begun != "" || len(c.Partitions) > 0
}

// Blank says whether the disk is proved to be blank: nothing is recognised, and all bytes that Sample read are 0x00, or
// all are 0xff.
func (c Content) Blank() bool { return !c.Recognised() && (c.Sampled == Zeros || c.Sampled == Ones) }

// The names of the pool's partition: during an install and after it.
const (
	NameUnfinished = "griddle-unfinished"
	NameFinished   = "griddle-pool"
)

// Unfinished is the ID of the job that started to install on this disk and did not finish, or "".
func (c Content) Unfinished() string {
	if c.Begun != "" {
		return c.Begun
	}
	return c.marked(NameUnfinished)
}

// Finished is the ID of the job that finished an install on this disk, or "".
func (c Content) Finished() string {
	if c.Begun != "" {
		return ""
	}
	return c.marked(NameFinished)
}

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
