package table

import (
	"fmt"

	"griddle/initramfs/disk/content"

	"golang.org/x/sys/unix"
)

// Begin puts the unfinished mark of job id into partition number of a disk that others share, right after its btrfs was
// made (content.Mark). Neither the table nor another partition changes. It is durable on return: one sector is written
// once, so that after a power cut the partition has the mark or is the btrfs that it was.
//
// It fails, and writes nothing, if the table is damaged, or if the partition is not on the disk, is not a btrfs, or
// already has a mark other than this one.
func Begin(f Writable, size int64, sectorSize, number int, id string) error {
	return begin(f, size, sectorSize, number, id, "btrfs")
}

// BeginOwn is Begin for what roots share that are partitions: an ext4, which must not be mounted.
func BeginOwn(f Writable, size int64, sectorSize, number int, id string) error {
	return begin(f, size, sectorSize, number, id, "ext4")
}

func begin(f Writable, size int64, sectorSize, number int, id, kind string) error {
	c, err := inspect(f, size, sectorSize)
	if err != nil {
		return err
	}
	if c.Damaged != "" {
		return fmt.Errorf("marking a pool as begun: the partition table is damaged: %s", c.Damaged)
	}
	for _, p := range c.Partitions {
		if p.Number != number {
			continue
		}
		switch {
		case p.Signature.Type != kind:
			return fmt.Errorf("marking a pool as begun: partition %d has no %s, but %q", number, kind, p.Signature.Type)
		case p.Mark.Finished || p.Mark.Job != "" && p.Mark.Job != id:
			return fmt.Errorf("marking a pool as begun: partition %d already has the mark of job %s", number,
				p.Mark.Job)
		}
		return writeMark(f, p, content.Mark{Job: id})
	}
	return fmt.Errorf("marking a pool as begun: the disk has no partition %d", number)
}

// inspect is what the disk has, and not what the kernel remembers of it: programs wrote to the partitions through their
// own device files.
func inspect(f Writable, size int64, sectorSize int) (content.Content, error) {
	if f, ok := f.(interface{ Fd() uintptr }); ok {
		_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
	}
	return content.Inspect(f, size, sectorSize)
}

// writeMark writes the mark of a pool in partition p by one write. It is durable on return.
func writeMark(f Writable, p content.Partition, m content.Mark) error {
	b, err := m.Bytes()
	if err != nil {
		return err
	}
	at, ok := content.MarkPlace(p.Signature.Type)
	if !ok || p.Size < at+content.MarkSize {
		return fmt.Errorf("marking a pool: partition %d has %q and %d bytes", p.Number, p.Signature.Type, p.Size)
	}
	if _, err := f.WriteAt(b, p.Start+at); err != nil {
		return fmt.Errorf("marking the pool in partition %d: %w", p.Number, err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("marking the pool in partition %d: %w", p.Number, err)
	}
	return nil
}
