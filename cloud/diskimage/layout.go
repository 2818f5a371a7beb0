package diskimage

import (
	"fmt"
	"os"
	"strings"

	"griddle/cloud/diskimage/tree"
	"griddle/initramfs/bootloader"

	"github.com/diskfs/go-diskfs/partition/gpt"
)

const sector = 512

// Where the partitions are, in bytes.
const (
	biosStart = 1 * mib
	biosSize  = 1 * mib
	espStart  = biosStart + biosSize
	espSize   = 64 * mib
	rootStart = espStart + espSize
	endSize   = 1 * mib // left to the backup table
)

// sizes works out how large a disk must be for a tree, and how large it will be.
func sizes(f tree.Summary, want int64) (disk int64, err error) {
	// Inodes and their tables, checksums, bitmaps and the journal; btrfs keeps two copies of its metadata.
	need := f.Bytes + f.Bytes/10 + f.Entries*1024 + 96*mib
	least := (need+rootStart+endSize+mib-1)/mib*mib + mib
	if want == 0 {
		const step = 64 * mib
		disk = (least + max(need/4, 256*mib) + step - 1) / step * step
	} else if disk = want; disk < least {
		return 0, fmt.Errorf("a disk of %d MiB is too small: the image needs %d MiB", disk/mib, least/mib)
	}
	if disk > MaxSize {
		return 0, fmt.Errorf("the image needs a disk of %d MiB, which is more than 2 TiB", disk/mib)
	}
	return disk, nil
}

func rootSize(disk int64) int64 { return disk - endSize - rootStart }

// writeTable puts the partition table on a disk of zeros.
func writeTable(f *os.File, size int64, s spec) error {
	t := &gpt.Table{LogicalSectorSize: sector, PhysicalSectorSize: sector, GUID: strings.ToUpper(s.id("disk")),
		ProtectiveMBR: true}
	for i, p := range []struct {
		name        string
		kind        gpt.Type
		start, size int64
	}{
		{"griddle-bios", gpt.BIOSBoot, biosStart, biosSize},
		{"griddle-esp", gpt.EFISystemPartition, espStart, espSize},
		{"griddle-root", rootType, rootStart, rootSize(size)},
	} {
		t.Partitions = append(t.Partitions, &gpt.Partition{
			Index: i + 1, Name: p.name, Type: p.kind, GUID: strings.ToUpper(s.id(p.name)),
			Start: uint64(p.start) / sector, End: uint64(p.start+p.size)/sector - 1,
		})
	}
	if err := t.Write(f, size); err != nil {
		return fmt.Errorf("writing partition table: %w", err)
	}
	return nil
}

func biosExtent() bootloader.Extent { return bootloader.Extent{Start: biosStart, Size: biosSize} }
