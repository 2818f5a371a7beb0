package volume

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
)

// Boot is the geometry of a volume, as its boot sector says.
type Boot struct {
	SectorSize  int // bytes, 512 to 4096
	ClusterSize int // bytes, at most 2 MiB
	RecordSize  int // bytes of a record of $MFT
	Sectors     int64
	MFT         int64 // cluster
	Mirror      int64 // cluster of $MFTMirr
	Serial      uint64
}

// What is at the beginning of a volume, if it is not a boot sector of NTFS.
var (
	ErrNotNTFS   = errors.New("it has no boot sector of NTFS")
	ErrBitLocker = errors.New("it is encrypted by BitLocker")
)

// Places in a boot sector.
const (
	bootSize      = 512
	bootSectorsAt = 40
	bootMirrorAt  = 56
)

// ReadBoot reads the boot sector. Its error wraps ErrBitLocker or ErrNotNTFS, or says which number is impossible.
func ReadBoot(r io.ReaderAt) (Boot, error) {
	p := make([]byte, bootSize)
	if err := full(r, p, 0); err != nil {
		return Boot{}, fmt.Errorf("reading the boot sector: %w", err)
	}
	return ParseBoot(p)
}

// ParseBoot is ReadBoot for the bytes of a boot sector.
func ParseBoot(p []byte) (Boot, error) {
	if len(p) < bootSize {
		return Boot{}, fmt.Errorf("%w: it has %d bytes", ErrNotNTFS, len(p))
	}
	switch string(p[3:11]) {
	case "NTFS    ":
	case "-FVE-FS-":
		return Boot{}, ErrBitLocker
	default:
		return Boot{}, ErrNotNTFS
	}
	le := binary.LittleEndian
	b := Boot{SectorSize: int(le.Uint16(p[11:])), Sectors: int64(le.Uint64(p[bootSectorsAt:])),
		MFT: int64(le.Uint64(p[48:])), Mirror: int64(le.Uint64(p[bootMirrorAt:])), Serial: le.Uint64(p[72:])}
	wrong := func(what string, n int64) (Boot, error) {
		return Boot{}, fmt.Errorf("reading the boot sector: %s %d is impossible", what, n)
	}
	if bits.OnesCount(uint(b.SectorSize)) != 1 || b.SectorSize < 512 || b.SectorSize > 4096 {
		return wrong("a sector size of", int64(b.SectorSize))
	}
	// More than 128 sectors are written as a power of two, negated.
	perCluster := int(p[13])
	if perCluster > 128 {
		perCluster = 1 << min(256-perCluster, 16)
	}
	b.ClusterSize = perCluster * b.SectorSize
	if bits.OnesCount(uint(b.ClusterSize)) != 1 || b.ClusterSize > 2<<20 {
		return wrong("a cluster size of", int64(b.ClusterSize))
	}
	if n := int(int8(p[64])); n > 0 {
		b.RecordSize = n * b.ClusterSize
	} else {
		b.RecordSize = 1 << min(-n, 20)
	}
	if bits.OnesCount(uint(b.RecordSize)) != 1 || b.RecordSize < 512 || b.RecordSize > 64<<10 {
		return wrong("a record size of", int64(b.RecordSize))
	}
	if b.Sectors < 1 || b.Sectors > (1<<62)/int64(b.SectorSize) {
		return wrong("a number of sectors of", b.Sectors)
	}
	if b.MFT < 1 || b.MFT >= b.Clusters() {
		return wrong("a cluster of $MFT of", b.MFT)
	}
	if b.Mirror < 1 || b.Mirror >= b.Clusters() {
		return wrong("a cluster of $MFTMirr of", b.Mirror)
	}
	return b, nil
}

// Clusters is how many whole clusters the volume has.
func (b Boot) Clusters() int64 { return b.Sectors / int64(b.ClusterSize/b.SectorSize) }

// Size is the bytes of the volume, with the copy of the boot sector in its last sector. A partition must have as many.
func (b Boot) Size() int64 { return (b.Sectors + 1) * int64(b.SectorSize) }

// ClustersIn is how many clusters ntfsresize gives a volume in a partition of size bytes.
func (b Boot) ClustersIn(size int64) int64 {
	return (size - int64(b.SectorSize)) / int64(b.ClusterSize)
}

// Map is how many bytes $Bitmap has in a volume of so many clusters.
func Map(clusters int64) int64 { return (clusters + 63) / 64 * 8 }

// Rewrite is the boot sector p for a volume of sectors sectors with $MFTMirr at cluster mirror.
func Rewrite(p []byte, sectors, mirror int64) []byte {
	p = append([]byte(nil), p...)
	binary.LittleEndian.PutUint64(p[bootSectorsAt:], uint64(sectors))
	binary.LittleEndian.PutUint64(p[bootMirrorAt:], uint64(mirror))
	return p
}
