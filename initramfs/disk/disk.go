// Package disk finds the disks of a machine, says what is on them, and lays out an empty one for Griddle.
//
// A Scanner comes first: it lists the whole disks with what they hold. Inspect and Sample do that for one disk: Inspect
// knows tables and signatures, Sample decides whether a disk without any is blank. All of them only read. Write turns a
// disk into the layout below; Node finds its partitions' device files and MakeBtrfs and MakeFAT fill them. Mark takes
// the unfinished mark off.
//
//	1 MiB        1 MiB             260 MiB              the rest
//	+-----------+-----------------+--------------------+--------------------------+--------+
//	| MBR, GPT  | 1 griddle-bios  | 2 griddle-esp      | 3 griddle-pool           | backup |
//	| array     | BIOS boot: GRUB | FAT32              | btrfs, label "griddle"   | GPT    |
//	+-----------+-----------------+--------------------+--------------------------+--------+
//
// From the first durable write until everything is in its place the disk names the job that began it: nothing on
// it is of value, and it belongs to that job. The first write is one sector, the last of the disk (see begun.go).
// Then come the backup GPT and the primary one, each copy's entries before its header: the third partition is
// named "griddle-unfinished", and the GUID of the disk is the ID of the job. Only then are old signatures wiped,
// and the protective MBR, which alone would look like a foreign table, is last. Mark changes the partition's name
// as the last step of an install. At every moment a power cut leaves a disk that Inspect reads as what it was
// before, or as unfinished.
//
// A disk is blank only where that was proved (Content.Blank). What is not recognised is something, and is never blank.
//
// Everything read from a disk or from its hardware is hostile. Parsers are bounded: a table gives at most 256
// partitions, a chain of logical partitions at most 128, and a signature is looked for at fixed places.
//
// Sources: UEFI 2.10 chapter 5 (GPT); the kernel's block/partitions/msdos.c, include/uapi/linux/blkpg.h,
// Documentation/ABI/stable/sysfs-block; SPC-4 section 7.8 (VPD); and, for the signatures, each format's own
// description as named in signature.go.
package disk

// Disk is one whole disk, as Scanner finds it. Its strings are the hardware's own, made valid UTF-8 without control
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
	Removable  bool   // also a card in a reader and whatever is behind a port that people plug things into
	ReadOnly   bool
	Content
}

// Content is what a disk holds. The zero value is not blank: nothing is known of it.
type Content struct {
	Table     string // "gpt", "mbr", "mac", "sun", "sgi", "bsd", "amiga", "atari", what blkid calls it, or ""
	Damaged   string // what is wrong with the table, in words, "" for nothing
	GUID      string // of a GPT, lower case
	Begun     string // ID of the job whose mark the last sector has (see begun.go), or ""
	Signature Signature
	// what Sample returned, "" where it was not asked: something was recognised, or the disk is not to be read
	Sampled    string
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

// Recognised says whether anything on the disk has a name: a table, a signature, or the mark of a job.
func (c Content) Recognised() bool {
	return c.Table != "" || c.Signature.Type != "" || c.Begun != "" || len(c.Partitions) > 0
}

// Blank says whether it was proved that the disk is blank: nothing is recognised, and all that Sample read is
// 0x00, or all is 0xff.
func (c Content) Blank() bool { return !c.Recognised() && (c.Sampled == Zeros || c.Sampled == Ones) }

// The names of the pool's partition, before and after everything is in its place.
const (
	NameUnfinished = "griddle-unfinished"
	NameFinished   = "griddle-pool"
)

// Unfinished is the ID of the job whose install was begun on the disk and not ended, or "".
func (c Content) Unfinished() string {
	if c.Begun != "" {
		return c.Begun
	}
	return c.marked(NameUnfinished)
}

// Finished is the ID of the job whose install was ended on the disk, or "".
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
