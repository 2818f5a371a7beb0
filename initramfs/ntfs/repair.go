package ntfs

import (
	"context"
	"fmt"
	"os"

	"griddle/initramfs/ntfs/volume"
)

// Repair makes a volume readable that an interrupted shrink left in StateSplit or StateAlmost: it copies the first four
// records of $MFT to the place of $MFTMirr that record 1 names, and writes that place into the boot sector, and in
// StateAlmost the new size. What it overwrites is recorded before. It returns the state after it: StateUnchanged,
// StateShrunk or StateStale.
//
// Volumes in other states are not changed, and their state is returned.
func Repair(ctx context.Context, device string, begun Begun, journal Journal) (Found, error) {
	found, err := repair(ctx, device, begun, journal)
	if err != nil {
		return found, fmt.Errorf("repairing the NTFS volume on %s: %w", device, err)
	}
	return found, nil
}

func repair(ctx context.Context, device string, begun Begun, journal Journal) (Found, error) {
	dev, err := claim(device)
	if err != nil {
		return Found{}, err
	}
	defer dev.Close()
	found, err := recognise(ctx, dev, begun)
	if err != nil || found.State != StateSplit && found.State != StateAlmost {
		return found, err
	}
	v, err := volume.Read(dev)
	if err != nil {
		return found, err
	}
	pieces, err := saved(dev, v)
	if err != nil {
		return found, err
	}
	if err := journal.Record(ctx, Entry{Step: StepRepair, Begun: begun, Saved: pieces}); err != nil {
		return found, fmt.Errorf("recording the step %q: %w", StepRepair, err)
	}
	sectors := v.Sectors
	if found.State == StateAlmost {
		sectors = v.ClustersIn(begun.To) * int64(v.ClusterSize/v.SectorSize)
	}
	if err := rejoin(dev, v, sectors); err != nil {
		return found, err
	}
	if found, err = recognise(ctx, dev, begun); err != nil {
		return found, err
	}
	if found.State == StateSplit || found.State == StateAlmost || found.State == StateUnknown {
		return found, fmt.Errorf("it was written, and did not help: %s", found.Why)
	}
	if err := journal.Record(ctx, Entry{Step: StepRepaired, Begun: begun}); err != nil {
		return found, fmt.Errorf("recording the step %q: %w", StepRepaired, err)
	}
	return found, nil
}

// rejoin writes the copies and then the boot sector, so that a cut leaves a volume that can be repaired again.
func rejoin(dev *os.File, v *volume.Volume, sectors int64) error {
	first, err := v.FirstRecords(dev)
	if err != nil {
		return err
	}
	if _, err := dev.WriteAt(first, v.MirrorCluster()*int64(v.ClusterSize)); err != nil {
		return fmt.Errorf("writing $MFTMirr: %w", err)
	}
	if err := dev.Sync(); err != nil {
		return fmt.Errorf("writing $MFTMirr: %w", err)
	}
	boot := make([]byte, v.SectorSize)
	if _, err := dev.ReadAt(boot, 0); err != nil {
		return fmt.Errorf("reading the boot sector: %w", err)
	}
	if _, err := dev.WriteAt(volume.Rewrite(boot, sectors, v.MirrorCluster()), 0); err != nil {
		return fmt.Errorf("writing the boot sector: %w", err)
	}
	if err := dev.Sync(); err != nil {
		return fmt.Errorf("writing the boot sector: %w", err)
	}
	return nil
}
