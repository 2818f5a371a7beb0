// Package content says what is on a disk. It only reads.
//
// Start with Inspect: it recognises the partition table, and the formats of the whole disk and of each partition.
// Sample decides whether a disk on which nothing is recognised is blank. Blkid asks libblkid's program, which knows
// more formats, and AddAnswers completes what Inspect found by what it says.
//
// A disk is blank only if that was proved (Content.Blank). Content that is not recognised is still content, and never
// blank.
//
// Everything read from a disk is hostile. Parsers have limits: a table has at most 256 partitions, a chain of logical
// partitions at most 128, and signatures are read only at fixed places.
//
// Sources: UEFI 2.10 chapter 5 (GPT); the kernel's block/partitions/msdos.c; and, for the signatures, each format's own
// description as named in signature.go.
package content

// Content is the content of a disk. The zero value means that nothing is known, so it is not blank.
type Content struct {
	Table   string // "gpt", "mbr", "mac", "sun", "sgi", "bsd", "amiga", "atari", what blkid calls it, or ""
	Damaged string // what is wrong with the table, in words, "" for nothing
	GUID    string // of a GPT, lower case; of an MBR its disk signature, as 8 hex digits; "" if not known
	// UsableFrom and UsableTo are where a GPT lets the first partition begin and the last one end, in bytes; 0 if not
	// known.
	UsableFrom, UsableTo int64
	Begun                string // ID of the job with a mark in the last sector (see begun.go), or ""
	Signature            Signature
	// what Sample returned, "" where it was not asked: something was recognised, or the disk is not to be read
	Sampled    string
	Partitions []Partition
	Slots      int // how many entries a GPT has room for, in use or not; 0 if not known
}

// Partition is one entry of a partition table, with what was found in it.
type Partition struct {
	Number    int
	Start     int64  // bytes
	Size      int64  // bytes
	Name      string // of a GPT entry
	Type      string // "EFI system", "Linux filesystem"…, or the bare type code
	Signature Signature
	Mark      Mark   // of the pool that a btrfs is, on a disk that others share; see mark.go
	UUID      string // of the filesystem, as blkid writes it; "" if not known
	Facts
}

// Facts are what is known of a filesystem beside its format. Inspect asks for none.
type Facts struct {
	Used int64 // bytes that are in use; 0 if not known
	// Minimum is bytes of the smallest partition that it may be shrunk to, with what its system needs; 0 if not known.
	Minimum int64
	// Unfit is why it must not be changed: job.Hibernated, job.Unclean, job.Dirty, or in words; "" if no reason is
	// known.
	Unfit string
	// System is the Windows in an NTFS: "Windows 11 Pro 23H2, build 22631.3007, on LAB-07"; "" if it has none.
	System string
	Pool   *PoolContent // what a finished pool of Griddle has; nil for another filesystem, and if it is not known
}

// PoolContent is what a pool has. Its names are safe on a screen.
type PoolContent struct {
	Roots  []Root   // the newest first
	Images []string // the newest first
}

// Root is a system in a pool.
type Root struct {
	Name, Image string // Image is that it was made of, "" if that was deleted
	Good        bool   // it proved itself once
	Next        bool   // the next start takes it
	Reset       string // what is fresh at each of its starts, see job.Reset
}

// Recognised says whether something on the disk is recognised: a table, a signature, or the mark of a job.
func (c Content) Recognised() bool {
	return c.Table != "" || c.Signature.Type != "" || c.Begun != "" || len(c.Partitions) > 0
}

// Blank says whether the disk is proved to be blank: nothing is recognised, and all bytes that Sample read are 0x00, or
// all are 0xff.
func (c Content) Blank() bool { return !c.Recognised() && (c.Sampled == Zeros || c.Sampled == Ones) }
