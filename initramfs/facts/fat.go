package facts

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"

	"griddle/initramfs/disk/content"
)

// maxFAT is how much of a table is read, in bytes: that of an EFI system partition is far smaller.
const maxFAT = 16 * mib

// fat is where the table of a FAT is.
type fat struct {
	at       int64 // of the table, in bytes
	bits     int   // of an entry: 12, 16 or 32
	clusters int64
	cluster  int64 // bytes
	before   int64 // bytes of the filesystem that are in no cluster
}

// parseFAT reads the boot sector of a FAT in a partition of size bytes. How many clusters it has says how long an entry
// is (fatgen103, "FAT Type Determination"), unless
// the length of its table is where only a FAT32 has it: so decides the kernel.
func parseFAT(b []byte, size int64) (fat, error) {
	le := binary.LittleEndian
	sector, each := int64(le.Uint16(b[11:])), int64(b[13])
	reserved, copies, root := int64(le.Uint16(b[14:])), int64(b[16]), int64(le.Uint16(b[17:]))
	all, table := int64(le.Uint16(b[19:])), int64(le.Uint16(b[22:]))
	if all == 0 {
		all = int64(le.Uint32(b[32:]))
	}
	wide := table == 0
	if wide {
		table = int64(le.Uint32(b[36:]))
	}
	wrong := errors.New("the numbers of its boot sector are impossible")
	if sector < 512 || sector > 4096 || each == 0 || reserved == 0 || copies == 0 || table == 0 || all > size/sector {
		return fat{}, wrong
	}
	before := reserved + copies*table + (root*32+sector-1)/sector
	if before >= all {
		return fat{}, wrong
	}
	t := fat{at: reserved * sector, clusters: (all - before) / each, cluster: each * sector, before: before * sector}
	switch {
	case wide:
		t.bits = 32
	case t.clusters < 4085:
		t.bits = 12
	default:
		t.bits = 16
	}
	if t.length() > table*sector {
		return fat{}, wrong
	}
	return t, nil
}

// length is how many bytes of the table have entries. The first two are of no cluster.
func (t fat) length() int64 { return ((t.clusters+2)*int64(t.bits) + 7) / 8 }

// used counts the clusters that are not free.
func (t fat) used(r io.ReaderAt) (int64, error) {
	b, err := read(r, t.at, int(t.length()))
	if err != nil {
		return 0, err
	}
	le := binary.LittleEndian
	n := int64(0)
	for i := int64(2); i < t.clusters+2; i++ {
		entry := uint32(0)
		switch t.bits {
		case 12:
			entry = uint32(b[i*3/2]) | uint32(b[min(i*3/2+1, int64(len(b))-1)])<<8
			entry = entry >> (4 * (i & 1)) & 0xfff
		case 16:
			entry = uint32(le.Uint16(b[2*i:]))
		default:
			entry = le.Uint32(b[4*i:]) & 0x0fffffff
		}
		if entry != 0 {
			n++
		}
	}
	return n, nil
}

// ofFAT says how full a FAT is. No FAT is shrunk.
func ofFAT(_ context.Context, f *os.File, size int64) (content.Facts, error) {
	b, err := read(f, 0, 512)
	if err != nil {
		return content.Facts{}, err
	}
	t, err := parseFAT(b, size)
	if err != nil {
		return content.Facts{}, err
	}
	if t.length() > maxFAT {
		return content.Facts{}, nil
	}
	n, err := t.used(f)
	return content.Facts{Used: t.before + n*t.cluster}, err
}
