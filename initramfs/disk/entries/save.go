package entries

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"griddle/initramfs/disk/content"
)

// maxSaved bounds what Restore and Recover read: two arrays of 256 KiB, or 129 sectors of 4096 bytes, in base64.
const maxSaved = 2 << 20

// saved is a table as JSON: the bytes at all its places.
type saved struct {
	Version    int     `json:"version"`
	Kind       string  `json:"kind"`
	Size       int64   `json:"size"` // of the disk, bytes
	SectorSize int     `json:"sectorSize"`
	Places     []place `json:"places"`
}

const savedVersion = 1

// Save reads the table of a disk as Read does, and returns its bytes at all places as JSON, for Restore and Recover:
//
//	{"version": 1, "kind": "gpt", "size": 512110190592, "sectorSize": 512,
//	 "places": [{"at": 0, "bytes": "M8CO…"}, …]}
//
// Size is that of the disk, at the byte of the disk where a place begins, and bytes are in base64. The usual GPT makes
// about 45 KB, the largest one 700 KB.
func Save(r io.ReaderAt, size int64, sectorSize int) ([]byte, error) {
	t, err := Read(r, size, sectorSize)
	if err != nil {
		return nil, fmt.Errorf("saving: %w", err)
	}
	return t.Saved(), nil
}

// Saved is the table with all edits so far, as Save returns the one of a disk. Note it before Write, so that Recover
// knows both tables: those that Add gave random GUIDs cannot be made twice.
func (t *Table) Saved() []byte {
	b, err := json.Marshal(saved{savedVersion, t.kind, t.size, int(t.sector), t.now})
	if err != nil {
		panic(err) // numbers and bytes always have a form in JSON
	}
	return b
}

// Load is the table that Save or Saved returned, if it is a whole one of a disk of size bytes. Nothing is written: for
// that there is Restore.
func Load(b []byte, size int64, sectorSize int) (*Table, error) {
	t, err := load(b, size, sectorSize)
	if err != nil {
		return nil, fmt.Errorf("reading a saved partition table: %w", err)
	}
	return t, nil
}

// On says whether a disk has exactly the bytes of the table at all its places.
func (t *Table) On(r io.ReaderAt) (bool, error) {
	for _, p := range t.now {
		now, err := t.readPlace(r, p.At/t.sector, int64(len(p.Bytes))/t.sector)
		if err != nil {
			return false, fmt.Errorf("comparing partition table: %w", err)
		}
		if !bytes.Equal(now.Bytes, p.Bytes) {
			return false, nil
		}
	}
	return true, nil
}

// load is the table that was saved, if it is a whole one of a disk with this size.
func load(b []byte, size int64, sectorSize int) (*Table, error) {
	var s saved
	if len(b) > maxSaved {
		return nil, fmt.Errorf("the saved table has %d bytes, and at most %d are possible", len(b), maxSaved)
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, fmt.Errorf("the saved table is damaged: %w", err)
	}
	want, err := empty(size, sectorSize)
	if err != nil {
		return nil, err
	}
	if s.Version != savedVersion || s.Size != want.size || s.SectorSize != sectorSize {
		return nil, fmt.Errorf("the saved table is of version %d and of a disk of %d bytes with sectors of %d; this "+
			"is version %d, %d bytes, %d", s.Version, s.Size, s.SectorSize, savedVersion, want.size, sectorSize)
	}
	t, err := Read(image(s.Places), size, sectorSize)
	if err != nil {
		return nil, fmt.Errorf("the saved table is damaged: %w", err)
	}
	same := func(a, b place) bool { return a.At == b.At && len(a.Bytes) == len(b.Bytes) }
	if t.kind != s.Kind || !slices.EqualFunc(s.Places, t.now, same) {
		return nil, errors.New("the saved table is damaged: it has not the places that it should have")
	}
	return t, nil
}

// Restore gives the disk the table that Save or Saved returned, at all places, whatever table it has now. It is durable
// on return. A power cut leaves a whole copy of the one or the other table, if the disk had a whole one. It refuses a
// table of another disk size, and an MBR where the disk has a GPT since.
func Restore(d Disk, size int64, sectorSize int, table []byte) error {
	t, err := load(table, size, sectorSize)
	if err == nil && t.kind == MBR && content.ReadTable(d, size, sectorSize).Table == GPT {
		err = errors.New("the saved table is an MBR, and the disk has a GPT since, which would stay")
	}
	if err == nil && t.kind == GPT {
		_, _, _, broken := t.readCopy(d, 1)
		err = t.putAll(d, broken == nil)
	} else if err == nil {
		err = t.putAll(d, true)
	}
	if err != nil {
		return fmt.Errorf("restoring partition table: %w", err)
	}
	return nil
}
