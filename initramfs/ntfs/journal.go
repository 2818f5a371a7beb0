package ntfs

import (
	"context"
	"fmt"
	"io"

	"griddle/initramfs/ntfs/volume"
)

// Step is what is about to be done, or was.
type Step string

// The steps, in their order. Each is recorded before it begins, so the last entry says what may be half done.
const (
	StepSave     Step = "save"   // nothing has changed yet; the entry has the parts that are easily lost
	StepTry      Step = "try"    // the dry run
	StepResize   Step = "resize" // from here on, the volume may be half done
	StepProve    Step = "prove"
	StepShrunk   Step = "shrunk" // the volume is whole in its new size, and the table may be changed
	StepRepair   Step = "repair" // by Repair; the entry has what it overwrites
	StepRepaired Step = "repaired"
)

// Begun is what a journal knows of a shrink from its first entry on. With it, what a crash left is recognised.
type Begun struct {
	Serial uint64 `json:"serial,string"` // of the volume
	From   int64  `json:"from"`          // bytes of the volume before
	To     int64  `json:"to"`            // bytes of the volume, and of its partition, after
	Files  int64  `json:"files"`         // records of $MFT in use, 0 if unknown
	Log    string `json:"log"`           // SHA-256 of the first 8 KiB of $LogFile before, hexadecimal
}

// Entry is one line of the journal of a shrink.
type Entry struct {
	Step     Step    `json:"step"`
	Begun    Begun   `json:"begun"`
	Clusters int64   `json:"clusters,omitempty"` // that the dry run moves
	Saved    []Piece `json:"saved,omitempty"`    // as the volume has them, less than 4 MiB
}

// Piece is a part of a volume.
type Piece struct {
	At    int64  `json:"at"` // byte of the volume
	Bytes []byte `json:"bytes"`
}

// Journal keeps the entries of a shrink where they survive a power cut of this computer.
type Journal interface {
	// Record returns when an entry is kept. If it fails, the step is not done.
	Record(context.Context, Entry) error
}

// saved reads the vital parts of a volume.
func saved(r io.ReaderAt, v *volume.Volume) ([]Piece, error) {
	var list []Piece
	for _, e := range v.Vital() {
		p := make([]byte, e.Length)
		if n, err := r.ReadAt(p, e.At); n < len(p) {
			return nil, fmt.Errorf("saving %d bytes at byte %d: %w", len(p), e.At, err)
		}
		list = append(list, Piece{At: e.At, Bytes: p})
	}
	return list, nil
}
