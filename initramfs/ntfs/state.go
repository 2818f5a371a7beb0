package ntfs

import (
	"context"
	"errors"
	"fmt"
	"os"

	"griddle/initramfs/ntfs/volume"

	"golang.org/x/sys/unix"
)

// State is what an interrupted shrink left.
type State string

// The states of an interrupted shrink.
const (
	// StateUnchanged is whole, and has its former size: Shrink may start again.
	StateUnchanged State = "unchanged"
	// StateShrunk is whole, and has its new size: Shrink only has to prove it.
	StateShrunk State = "shrunk"
	// StateStale has all its files, and a wrong map of free clusters: only Windows can correct it.
	StateStale State = "stale"
	// StateSplit cannot be opened, because $MFTMirr is half moved or half written: Repair makes it stale or unchanged.
	StateSplit State = "split"
	// StateAlmost has its new size but for the boot sector: Repair makes it shrunk.
	StateAlmost State = "almost"
	// StateUnknown is something else.
	StateUnknown State = "unknown"
)

// Found is what an interrupted shrink left, and what to do. Why and Do are empty for StateUnchanged and StateShrunk.
type Found struct {
	State State
	Why   string
	Do    string
}

// errOther is for a partition with another volume than that of the journal.
var errOther = errors.New("this is not the volume that the journal is about: its serial number differs")

// Recognise says what an interrupted shrink left on a partition, by what is on the partition and what the journal's
// last entry says. It changes nothing. It is an error if the partition has another volume.
func Recognise(ctx context.Context, device string, begun Begun) (Found, error) {
	dev, err := os.OpenFile(device, os.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return Found{}, fmt.Errorf("recognising what is on %s: %w", device, err)
	}
	defer dev.Close()
	found, err := recognise(ctx, dev, begun)
	if err != nil {
		return Found{}, fmt.Errorf("recognising what is on %s: %w", device, err)
	}
	return found, nil
}

// doRepair is for what Repair can repair.
const doRepair = "repair it; before that, let no system write to it"

// doStale is what to do with a volume whose map of free clusters is wrong.
const doStale = "start Windows and let it check the drive, or run `chkdsk /f` with its letter as administrator; " +
	"restart Windows twice; then try again. Let no other system write to the volume before"

func recognise(ctx context.Context, dev *os.File, begun Begun) (Found, error) {
	uncache(dev)
	unknown := func(why string) Found {
		return Found{State: StateUnknown,
			Why: "what is on it is neither the old nor the new volume (" + plain(why) + ")",
			Do:  "write nothing to this partition; the journal has its boot sector and its first records as they were"}
	}
	v, err := volume.Read(dev)
	if unreadable(err) {
		return Found{}, err
	}
	if err != nil {
		return unknown(err.Error()), nil
	}
	if v.Serial != begun.Serial {
		return Found{}, errOther
	}
	whole := StateUnchanged
	switch {
	case v.Size() == begun.From:
	case v.Clusters() == v.ClustersIn(begun.To):
		whole = StateShrunk
	default:
		return unknown(fmt.Sprintf("it has %d bytes, and should have %d or %d", v.Size(), begun.From, begun.To)), nil
	}
	same, err := v.SameMirror(dev)
	if err != nil {
		return Found{}, err
	}
	switch {
	case whole == StateUnchanged && v.Map == volume.Map(v.ClustersIn(begun.To)) && v.Map < volume.Map(v.Clusters()):
		return Found{State: StateAlmost, Why: "its resize was interrupted before the boot sector was written",
			Do: doRepair}, nil
	case v.MirrorCluster() != v.Mirror || !same:
		return Found{State: StateSplit, Why: "its resize was interrupted while $MFTMirr was written, and no system " +
			"can open it", Do: doRepair}, nil
	}
	r, err := resizeInfo(ctx, "--info", "--force", dev.Name())
	if err != nil {
		return Found{}, err
	}
	switch {
	case r.failure == "":
		return Found{State: whole}, r.sizes(v.ClusterSize, v.Clusters(), v.SectorSize)
	case r.damaged:
		return Found{State: StateStale, Why: "its resize was interrupted: all its files are there, and its map of " +
			"free clusters is wrong", Do: doStale}, nil
	}
	return unknown(r.failure), nil
}
