package table

import (
	"fmt"
	"strings"

	"github.com/diskfs/go-diskfs/partition/gpt"

	"griddle/initramfs/disk/content"
)

// Adopt gives the finished install of job from on the disk to job to, which installed into its pool: the table of a
// disk that Griddle has for itself gets another GUID, or the pool on one that others share another mark, and nothing
// else changes. It is durable on return. It fails if the disk does not have the finished mark of job from.
func Adopt(f Writable, size int64, sectorSize int, from, to string) error {
	c, err := inspect(f, size, sectorSize)
	if err != nil {
		return err
	}
	p, ok := c.Installed()
	if !ok || p.Job != from {
		return fmt.Errorf("marking disk as installed: it does not have the mark of job %s", from)
	}
	if p.Version == content.Shared {
		return writeMark(f, p.Partition, content.Mark{Job: to, Finished: true})
	}
	t, err := gpt.Read(f, sectorSize, sectorSize)
	if err != nil {
		return fmt.Errorf("marking disk as installed: %w", err)
	}
	t.GUID = strings.ToUpper(to)
	t.ProtectiveMBR = false // see Mark
	if err := t.Write(f, size); err != nil {
		return fmt.Errorf("marking disk as installed: %w", err)
	}
	return nil
}
