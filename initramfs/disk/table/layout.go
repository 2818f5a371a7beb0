// Package table partitions a disk for Griddle.
//
// Start with WholeDisk: it makes the layout below, Layout.Write writes it to a disk, and Announce makes its partitions
// known to the kernel. Mark removes the unfinished mark as the last step of an install. Adopt gives a finished install
// to the next job. On a disk that others share another program made the partitions: there Begin writes the mark that
// Mark and Adopt change, and all else on the disk stays.
//
//	1 MiB        1 MiB             260 MiB              the rest
//	+-----------+-----------------+--------------------+--------------------------+--------+
//	| MBR, GPT  | 1 griddle-bios  | 2 griddle-esp      | 3 griddle-pool           | backup |
//	| array     | BIOS boot: GRUB | FAT32              | btrfs, label "griddle"   | GPT    |
//	+-----------+-----------------+--------------------+--------------------------+--------+
//
// From the first durable write until the end of the install the disk has the mark of its job: nothing on it is of
// value, and it belongs to that job. The first write is one sector, the last of the disk (content.BegunSector). The
// backup GPT and then the primary GPT follow, each copy's entries before its header: the third partition has the name
// "griddle-unfinished", and the GUID of the disk is the ID of the job. After that, old signatures are wiped. The
// protective MBR is last, because alone it would look like a foreign table. Mark changes the name of the partition as
// the last step of an install. After a power cut at any time, content.Inspect finds either the old content or an
// unfinished disk.
//
// Sources: UEFI 2.10 chapter 5 (GPT); the kernel's include/uapi/linux/blkpg.h.
package table

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/diskfs/go-diskfs/partition/gpt"

	"griddle/initramfs/disk/content"
)

const mib = 1 << 20

// LabelPool is the label of the btrfs filesystem.
const LabelPool = "griddle"

// Part is one partition of a Layout.
type Part struct {
	Number int
	Name   string
	Start  int64 // bytes, a multiple of 1 MiB
	Size   int64 // bytes, a multiple of 1 MiB
	kind   gpt.Type
}

// Layout is the partitions that a disk will have.
type Layout struct {
	GUID       string // of the disk: the ID of the job that begins it
	Size       int64  // bytes of the disk
	SectorSize int    // logical, bytes: 512 or 4096
	BIOS       Part
	ESP        Part
	Pool       Part
}

// Overhead is the size of the layout without the pool, in bytes; rounding can add up to 1 MiB.
const Overhead = (1 + 1 + 260 + 1) * mib

// WholeDisk makes the layout of the package doc for a disk of size bytes. It fails if the disk is too small for a pool,
// or if its sectors are neither 512 nor 4096 bytes.
func WholeDisk(id string, size int64, sectorSize int) (Layout, error) {
	if sectorSize != 512 && sectorSize != 4096 {
		return Layout{}, fmt.Errorf("laying out disk: sectors of %d bytes; only 512 and 4096 are supported", sectorSize)
	}
	// The last MiB is left to the backup table, which needs 33 sectors of 512 bytes or 5 of 4096.
	pool := size/mib*mib - (1+1+260)*mib - mib
	if pool < 128*mib { // mkfs.btrfs makes nothing smaller than about 109 MiB
		return Layout{}, fmt.Errorf("laying out disk: it has %d bytes and needs at least %d",
			size, Overhead+128*mib)
	}
	return Layout{
		GUID: id, Size: size, SectorSize: sectorSize,
		BIOS: Part{1, content.NameBIOS, 1 * mib, 1 * mib, gpt.BIOSBoot},
		ESP:  Part{2, content.NameESP, 2 * mib, 260 * mib, gpt.EFISystemPartition},
		Pool: Part{3, content.NameUnfinished, 262 * mib, pool, gpt.LinuxFilesystem},
	}, nil
}

// Parts lists the partitions in order.
func (l Layout) Parts() []Part { return []Part{l.BIOS, l.ESP, l.Pool} }

// extent is a range of bytes.
type extent struct{ from, to int64 }

// Writable is a disk that a layout is written to.
type Writable interface {
	io.ReaderAt
	io.WriterAt
	io.Seeker
	Stat() (os.FileInfo, error)
	Read([]byte) (int, error)
	Close() error
	Sync() error
}

// Write writes the layout to the disk, marked as unfinished, and wipes the content that old describes. It is durable on
// return. After a power cut the disk is as the package doc says: the mark of the job is written before anything else
// changes, and stays there.
func (l Layout) Write(f Writable, old content.Content) error {
	mark, err := content.BegunSector(l.GUID, l.SectorSize)
	if err != nil {
		return err
	}
	if _, err := f.WriteAt(mark, l.lastSector()); err != nil {
		return fmt.Errorf("marking disk as begun: %w", err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("marking disk as begun: %w", err)
	}
	t := &gpt.Table{LogicalSectorSize: l.SectorSize, PhysicalSectorSize: l.SectorSize, GUID: strings.ToUpper(l.GUID)}
	for _, p := range l.Parts() {
		t.Partitions = append(t.Partitions, &gpt.Partition{
			Index: p.Number, Name: p.Name, Type: p.kind,
			Start: uint64(p.Start) / uint64(l.SectorSize), End: uint64(p.Start+p.Size)/uint64(l.SectorSize) - 1,
		})
	}
	// Twice: a protective MBR comes into being only when both copies of the table are durable.
	if err := t.Write(f, l.Size); err != nil {
		return fmt.Errorf("writing partition table: %w", err)
	}
	if err := wipe(f, l, old); err != nil {
		return fmt.Errorf("wiping old signatures: %w", err)
	}
	t.ProtectiveMBR = true
	if err := t.Write(f, l.Size); err != nil {
		return fmt.Errorf("writing partition table: %w", err)
	}
	return protect(f, l.Size, l.SectorSize)
}

// lastSector is where the last sector of the disk begins.
func (l Layout) lastSector() int64 { return (l.Size/int64(l.SectorSize) - 1) * int64(l.SectorSize) }

// wipe writes zeros over the places where the old content and what is beneath the new partitions can have
// signatures: the first and last MiB of each and of the disk, except where the two copies of the new table are. It
// is durable on return.
func wipe(f Writable, l Layout, old content.Content) error {
	const entries = 128 * 128 // bytes of a table's entries
	sector := int64(l.SectorSize)
	primary := extent{sector, 2*sector + entries}
	backup := extent{l.lastSector() - entries, l.Size}
	zero := make([]byte, mib)
	clear := func(from, to int64) error {
		for from < to {
			n := min(to-from, mib)
			if _, err := f.WriteAt(zero[:n], from); err != nil {
				return err
			}
			from += n
		}
		return nil
	}
	ends := func(start, size int64) error {
		start, end := max(0, start), min(start+size, l.Size)
		for _, e := range []extent{{start, min(end, start+mib)}, {max(start, end-mib), end}} {
			err := errors.Join(clear(e.from, min(e.to, primary.from)),
				clear(max(e.from, primary.to), min(e.to, backup.from)))
			if err != nil {
				return err
			}
		}
		return nil
	}
	if err := ends(0, l.Size); err != nil {
		return err
	}
	for _, p := range old.Partitions {
		if err := ends(p.Start, p.Size); err != nil {
			return err
		}
	}
	for _, p := range l.Parts() {
		if err := ends(p.Start, p.Size); err != nil {
			return err
		}
	}
	return f.Sync()
}

// Mark is the last step of an install. On a disk that Griddle has for itself it renames the pool's partition from
// NameUnfinished to NameFinished; on one that others share it writes the mark in that partition. It is durable on
// return. It fails if the disk does not have the unfinished mark of job id.
func Mark(f Writable, size int64, sectorSize int, id string) error {
	c, err := inspect(f, size, sectorSize)
	if err != nil {
		return err
	}
	of := slices.DeleteFunc(c.Pools(), func(p content.Pool) bool { return p.Finished || p.Job != id })
	if len(of) != 1 || c.Begun != "" {
		return fmt.Errorf("marking disk as installed: it does not have the mark of job %s", id)
	}
	if of[0].Version == content.Shared {
		return writeMark(f, of[0].Partition, content.Mark{Job: id, Finished: true})
	}
	t, err := gpt.Read(f, sectorSize, sectorSize)
	if err != nil {
		return fmt.Errorf("marking disk as installed: %w", err)
	}
	for _, p := range t.Partitions {
		if p.Name == content.NameUnfinished {
			p.Name = content.NameFinished
		}
	}
	t.ProtectiveMBR = false // it is there, and go-diskfs would write it without the active flag
	if err := t.Write(f, size); err != nil {
		return fmt.Errorf("marking disk as installed: %w", err)
	}
	return nil
}
