package job

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// SavedTable is the partition table that a disk had before a layout changed it, as a file:
//
//	{"version": 1, "job": "5b2f…", "serial": "S5GXNX0R", "size": 512110190592, "sectorSize": 512, "table": "eyJ2…"}
//
// Table is all bytes of the table in base64, as package entries of the agent saves them. The rest says of which disk.
type SavedTable struct {
	Version    int    `json:"version"`
	Job        string `json:"job"` // that saved it
	Serial     string `json:"serial,omitempty"`
	WWN        string `json:"wwn,omitempty"`
	Size       int64  `json:"size"` // of the disk, bytes
	SectorSize int    `json:"sectorSize"`
	Table      []byte `json:"table"`
}

// SavedTableVersion is the version of a SavedTable that this package makes and reads.
const SavedTableVersion = 1

// MaxSavedTable is the size of the largest file of a SavedTable, in bytes.
const MaxSavedTable = 4 << 20

// ParseSavedTable reads the file of a SavedTable. It does not look at the table in it.
func ParseSavedTable(b []byte) (SavedTable, error) {
	fail := func(err error) (SavedTable, error) {
		return SavedTable{}, fmt.Errorf("reading a saved partition table: %w", err)
	}
	if len(b) > MaxSavedTable {
		return fail(fmt.Errorf("it has more than %d bytes", MaxSavedTable))
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	var t SavedTable
	if err := d.Decode(&t); err != nil {
		return fail(err)
	}
	switch {
	case d.More():
		return fail(errors.New("something follows it"))
	case t.Version != SavedTableVersion:
		return fail(fmt.Errorf("it has version %d, and this program reads %d", t.Version, SavedTableVersion))
	case t.Size <= 0 || t.SectorSize <= 0 || len(t.Table) == 0:
		return fail(errors.New("it does not say the size of its disk, or has no table"))
	}
	return t, nil
}
