package ntfs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"

	"griddle/initramfs/ntfs/volume"
)

// Options say how a volume is shrunk.
type Options struct {
	Device   string // of the partition
	To       int64  // bytes, a multiple of 1 MiB; the partition must get exactly as many
	Journal  Journal
	Progress func(Progress) // may be nil

	// Begun continues a shrink that was interrupted: it is that of the journal's last entry. To must be the same.
	Begun *Begun
}

// Progress is how far a resize is.
type Progress struct {
	Phase   string  // "checking the volume", "moving data" or "writing"
	Percent float64 // 0 to 100 of the phase
}

// Shrink shrinks a volume. On success the volume is whole in its new size and on the disk, and the caller changes the
// size of the partition to To and calls Prove. The partition table must not be changed before, and not after an error.
//
// A volume that cannot be shrunk is a Refusal, and nothing has changed. It is InUse while the ntfsresize of a caller
// that was killed still runs. If a resize has begun, it runs to its end even if ctx ends: a kill would leave it half
// done.
func Shrink(ctx context.Context, o Options) (Begun, error) {
	begun, err := shrink(ctx, o)
	if err != nil {
		return begun, fmt.Errorf("shrinking the NTFS volume on %s to %s: %w", o.Device, size(o.To), err)
	}
	return begun, nil
}

func shrink(ctx context.Context, o Options) (Begun, error) {
	dev, err := claim(o.Device)
	if err != nil {
		return Begun{}, err
	}
	defer dev.Close()
	begun, state, err := o.begin(ctx, dev)
	if err != nil {
		return begun, err
	}
	record := func(s Step, e Entry) error {
		e.Step, e.Begun = s, begun
		if err := o.Journal.Record(ctx, e); err != nil {
			return fmt.Errorf("recording the step %q: %w", s, err)
		}
		return nil
	}
	if state == StateUnchanged {
		v, err := volume.Read(dev)
		if err != nil {
			return begun, err
		}
		pieces, err := saved(dev, v)
		if err != nil {
			return begun, err
		}
		if err := record(StepSave, Entry{Saved: pieces}); err != nil {
			return begun, err
		}
		if err := record(StepTry, Entry{}); err != nil {
			return begun, err
		}
		move, err := dryRun(ctx, o.Device, o.To, "--force")
		if err != nil {
			return begun, err
		}
		if err := record(StepResize, Entry{Clusters: move.Clusters}); err != nil {
			return begun, err
		}
		if err := resize(dev, o.To, o.Progress); err != nil {
			return begun, err
		}
	}
	// What follows only reads, or completes what has succeeded: it is done even if ctx has ended meanwhile.
	ctx = context.WithoutCancel(ctx)
	if err := record(StepProve, Entry{}); err != nil {
		return begun, err
	}
	if err := copyBoot(dev, begun); err != nil {
		return begun, err
	}
	if err := prove(ctx, dev, begun); err != nil {
		return begun, err
	}
	return begun, record(StepShrunk, Entry{})
}

// begin decides whether a shrink may start, or where an earlier one continues.
func (o Options) begin(ctx context.Context, dev *os.File) (Begun, State, error) {
	if o.Begun != nil {
		if o.Begun.To != o.To {
			return *o.Begun, "", fmt.Errorf("the journal says that it is being shrunk to %s", size(o.Begun.To))
		}
		found, err := recognise(ctx, dev, *o.Begun)
		if err != nil {
			return *o.Begun, "", err
		}
		switch found.State {
		case StateShrunk:
			return *o.Begun, StateShrunk, nil
		case StateUnchanged:
		default:
			return *o.Begun, "", Refusal{Reason: HalfDone, Why: found.Why, Do: found.Do}
		}
		if ours, err := untouched(ctx, dev, *o.Begun); err != nil || ours {
			return *o.Begun, StateUnchanged, err
		}
	}
	f, err := look(ctx, o.Device)
	if err != nil {
		return Begun{}, "", err
	}
	begun := Begun{Serial: f.Serial, From: f.Size, To: o.To, Files: f.Files}
	if err := f.allows(o.To); err != nil {
		return begun, "", err
	}
	v, err := volume.Read(dev)
	if err != nil {
		return begun, "", err
	}
	head, err := v.LogHead(dev)
	begun.Log = hash(head)
	return begun, StateUnchanged, err
}

// untouched says whether no system has mounted a volume for writing since a shrink of it began: then its mark for a
// check is that of ntfsresize. A refusal is what Windows left there nevertheless.
func untouched(ctx context.Context, dev *os.File, begun Begun) (bool, error) {
	v, err := volume.Read(dev)
	if err != nil {
		return false, err
	}
	head, err := v.LogHead(dev)
	if err != nil {
		return false, err
	}
	if hash(head) != begun.Log && len(bytes.Trim(head, "\xff")) > 0 {
		return false, nil
	}
	answer, err := probe(ctx, dev.Name())
	if err != nil {
		return false, err
	}
	if r, ok := probed(answer); !ok {
		return false, r
	}
	return true, nil
}

func hash(p []byte) string { return fmt.Sprintf("%x", sha256.Sum256(p)) }

// allows checks a size against what the volume is.
func (f *Facts) allows(to int64) error {
	switch {
	case len(f.Refusals) > 0:
		list := make([]error, len(f.Refusals))
		for i, r := range f.Refusals {
			list[i] = r
		}
		return errors.Join(list...)
	case to%mib != 0:
		return fmt.Errorf("%d bytes is not a multiple of 1 MiB", to)
	case to >= f.Size:
		return Refusal{Reason: TooLarge, Why: "it has " + size(f.Size) + " already", Do: "choose a smaller size"}
	case to < f.Minimum:
		return Refusal{Reason: TooSmall, Why: "its smallest size is " + size(f.Minimum),
			Do: "choose a larger size, or delete files in Windows and try again"}
	}
	return nil
}
