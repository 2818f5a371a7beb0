// Package volume reads the bytes of an NTFS volume: its geometry, its first records, and the names in its root folder.
// It writes nothing and runs nothing.
//
// Call ReadBoot for the geometry alone, or Read for all that the first records say. Both read an io.ReaderAt, whose
// byte 0 is the first byte of the volume.
//
//	boot sector (byte: content)             one record of $MFT, 1024 or 4096 bytes
//	  3  8 bytes  "NTFS    "                  0  4 bytes  "FILE"
//	 11  2        bytes in a sector           4  2, 2     place and number of the fixups
//	 13  1        sectors in a cluster       20  2        place of the first attribute
//	 40  8        sectors of the volume      22  2        flags: 1 in use, 2 a folder
//	 48  8        cluster of $MFT            24  4        bytes in use
//	 56  8        cluster of $MFTMirr        32  8        base record, 0 if it is one
//	 64  1        clusters in a record
//	 72  8        serial number
//
// The last sector of a volume is a copy of its boot sector, and is not counted in the sectors of the volume.
// $MFTMirr is a copy of the first four records of $MFT.
//
// All bytes are hostile. A record is at most 64 KiB, its attributes are inside it, and what is read of a folder or of
// the map of records has limits. No input makes a function panic.
//
// Sources: ntfs-3g's include/ntfs-3g/layout.h; its libntfs-3g/runlist.c for lists of runs.
package volume

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
)

// Volume is what the first records of a volume say.
type Volume struct {
	Boot
	Dirty bool // Windows, or a program that resized the volume, wants a check at the next start

	// Names are those in the root folder, as Windows writes them, at most maxNames.
	Names []string

	// Files is how many records of $MFT are in use: files, folders and their extensions. It is 0 if they cannot be
	// counted, because $MFT is in too many parts.
	Files int64

	// Map is how many bytes $Bitmap has, the map of free clusters: a bit for each cluster, in multiples of 8 bytes.
	Map int64

	mft    Run // its first part
	mirror Run // as record 1 says
	log    Run // the first part of $LogFile
}

// Read reads the first records of a volume. Its errors are those of ReadBoot, and say which record is damaged.
func Read(r io.ReaderAt) (*Volume, error) {
	b, err := ReadBoot(r)
	if err != nil {
		return nil, err
	}
	v := &Volume{Boot: b}
	mft, err := b.record(r, recordMFT)
	if err != nil {
		return nil, err
	}
	if v.mft, err = b.firstRun(mft, recordMFT); err != nil {
		return nil, err
	}
	if v.mft.LCN != b.MFT {
		return nil, fmt.Errorf("reading $MFT: it says that it begins at cluster %d, the boot sector says %d", v.mft.LCN,
			b.MFT)
	}
	mirr, err := b.record(r, recordMirror)
	if err != nil {
		return nil, err
	}
	if v.mirror, err = b.firstRun(mirr, recordMirror); err != nil {
		return nil, err
	}
	if v.mirror.Length < b.mirrorClusters() {
		return nil, fmt.Errorf("reading $MFTMirr: it has %d clusters at cluster %d, too few",
			v.mirror.Length, v.mirror.LCN)
	}
	logFile, err := b.record(r, recordLog)
	if err != nil {
		return nil, err
	}
	if v.log, err = b.firstRun(logFile, recordLog); err != nil {
		return nil, err
	}
	info, err := b.record(r, recordVolume)
	if err != nil {
		return nil, err
	}
	if v.Dirty, err = dirty(info); err != nil {
		return nil, err
	}
	bitmap, err := b.record(r, recordBitmap)
	if err != nil {
		return nil, err
	}
	for a := range attributes(bitmap) {
		if a.kind == attrData && a.named == "" && a.first == 0 {
			v.Map = a.size
		}
	}
	if v.Files, err = b.inUse(r, mft); err != nil {
		return nil, err
	}
	root, err := b.record(r, recordRoot)
	if err != nil {
		return nil, err
	}
	v.Names, err = b.names(r, root)
	return v, err
}

// Ends are the first bytes after $MFT's first part and after $MFTMirr. A size below one of them makes ntfsresize move
// that file, and a volume on which one of them is half moved cannot be opened.
func (v *Volume) Ends() (mft, mirror int64) {
	size := int64(v.ClusterSize)
	return (v.mft.LCN + v.mft.Length) * size, (v.mirror.LCN + v.mirror.Length) * size
}

// MirrorCluster is where record 1 says that $MFTMirr is. Boot.Mirror is where the boot sector says it is.
func (v *Volume) MirrorCluster() int64 { return v.mirror.LCN }

// FirstRecords are the bytes of the first four records, as they are on the volume.
func (b Boot) FirstRecords(r io.ReaderAt) ([]byte, error) {
	return b.read(r, b.MFT*int64(b.ClusterSize), "$MFT")
}

// MirrorRecords are the bytes of the copies of the first four records, at a cluster.
func (b Boot) MirrorRecords(r io.ReaderAt, cluster int64) ([]byte, error) {
	return b.read(r, cluster*int64(b.ClusterSize), "$MFTMirr")
}

func (b Boot) read(r io.ReaderAt, at int64, name string) ([]byte, error) {
	p := make([]byte, MirrorCount*b.RecordSize)
	if err := full(r, p, at); err != nil {
		return nil, fmt.Errorf("reading %s at byte %d: %w", name, at, err)
	}
	return p, nil
}

// LogHead is the two restart pages of $LogFile, 8 KiB. Every system that mounts the volume for writing changes them;
// ntfsresize fills them with 0xff.
func (v *Volume) LogHead(r io.ReaderAt) ([]byte, error) {
	p := make([]byte, logHead)
	if err := full(r, p, v.log.LCN*int64(v.ClusterSize)); err != nil {
		return nil, fmt.Errorf("reading $LogFile: %w", err)
	}
	return p, nil
}

const logHead = 8 << 10

// Extent is a range of bytes.
type Extent struct{ At, Length int64 }

// Vital are the places that a resize changes and without which a volume cannot be opened: $Boot, the first 16 records
// of $MFT, $MFTMirr as the boot sector and as record 1 say, the two restart pages of $LogFile, and the copy of the boot
// sector. They are less than 4 MiB.
func (v *Volume) Vital() []Extent {
	cluster, records := int64(v.ClusterSize), int64(v.RecordSize)
	list := []Extent{{0, 8 << 10}, {v.MFT * cluster, 16 * records}, {v.Mirror * cluster, MirrorCount * records}}
	if v.mirror.LCN != v.Mirror {
		list = append(list, Extent{v.mirror.LCN * cluster, MirrorCount * records})
	}
	return append(list, Extent{v.log.LCN * cluster, logHead},
		Extent{v.Size() - int64(v.SectorSize), int64(v.SectorSize)})
}

// MirrorCount is how many records $MFTMirr has.
const MirrorCount = 4

func (b Boot) mirrorClusters() int64 {
	return int64((MirrorCount*b.RecordSize + b.ClusterSize - 1) / b.ClusterSize)
}

// dirty reads bit 0 of the flags in $VOLUME_INFORMATION.
func dirty(rec []byte) (bool, error) {
	for a := range attributes(rec) {
		if a.kind == attrVolumeInformation && len(a.value) >= 12 {
			return a.value[10]&1 != 0, nil
		}
	}
	return false, errors.New("reading $Volume: it has no $VOLUME_INFORMATION")
}

// maxMap is how many bytes of the map of records are read: 64 million records.
const maxMap = 8 << 20

// inUse counts the records that are in use, in the map that is an attribute of $MFT.
func (b Boot) inUse(r io.ReaderAt, mft []byte) (int64, error) {
	for a := range attributes(mft) {
		if a.kind != attrBitmap {
			continue
		}
		p, err := b.content(r, a, maxMap)
		if err != nil {
			return 0, fmt.Errorf("reading the map of records: %w", err)
		}
		n := int64(0)
		for _, c := range p {
			n += int64(bits.OnesCount8(c))
		}
		return n, nil
	}
	return 0, nil
}

// full reads all of p or fails.
func full(r io.ReaderAt, p []byte, at int64) error {
	n, err := r.ReadAt(p, at)
	switch {
	case n == len(p):
		return nil
	case err == nil || errors.Is(err, io.EOF):
		return io.ErrUnexpectedEOF
	}
	return err
}

// SameMirror says whether the copies in $MFTMirr, where the boot sector says it is, equal the first four records of
// $MFT. As for ntfs-3g, only the bytes in use count.
func (v *Volume) SameMirror(r io.ReaderAt) (bool, error) {
	first, err := v.FirstRecords(r)
	if err != nil {
		return false, err
	}
	mirror, err := v.MirrorRecords(r, v.Mirror)
	if err != nil {
		return false, err
	}
	for at := 0; at < len(first); at += v.RecordSize {
		a, b := first[at:at+v.RecordSize], mirror[at:at+v.RecordSize]
		if fix(a, "FILE") != nil || fix(b, "FILE") != nil {
			return false, nil
		}
		used := min(int64(binary.LittleEndian.Uint32(a[24:])), int64(v.RecordSize))
		if !bytes.Equal(a[:used], b[:used]) {
			return false, nil
		}
	}
	return true, nil
}
