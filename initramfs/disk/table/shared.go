package table

import (
	"fmt"
	"io"

	"griddle/initramfs/disk/content"
	"griddle/initramfs/disk/luksheader"

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

// BeginEncrypted is Begin for an encrypted pool, whose mark is in the header of its LUKS2 volume (package luksheader).
// That may be open. Two copies of the header are written, and the one that counts comes last: after a power cut the
// partition has the mark or is the volume that it was.
func BeginEncrypted(f Writable, size int64, sectorSize, number int, id string) error {
	return begin(f, size, sectorSize, number, id, content.Encrypted)
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

// writeMark writes the mark of a pool in partition p: by one write, or into the header of an encrypted volume. It is
// durable on return.
func writeMark(f Writable, p content.Partition, m content.Mark) error {
	if p.Signature.Type == content.Encrypted {
		s, err := m.Subsystem()
		if err == nil {
			err = luksheader.SetSubsystem(volume{io.NewSectionReader(f, p.Start, p.Size), f, p.Start, p.Size}, s)
		}
		if err != nil {
			return fmt.Errorf("marking the pool in partition %d: %w", p.Number, err)
		}
		return nil
	}
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

// volume is a partition of a disk.
type volume struct {
	io.ReaderAt
	disk        Writable
	start, size int64
}

// WriteAt never writes outside the partition: a header may say of itself that it is larger.
func (v volume) WriteAt(b []byte, at int64) (int, error) {
	if at < 0 || at > v.size-int64(len(b)) {
		return 0, fmt.Errorf("its header of %d bytes does not end within the partition", at+int64(len(b)))
	}
	return v.disk.WriteAt(b, v.start+at)
}

func (v volume) Sync() error { return v.disk.Sync() }
