package ntfs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"

	"griddle/initramfs/ntfs/volume"
)

// Prove checks that a volume that Shrink has shrunk is whole and fits its partition exactly, after the partition table
// was changed. It changes nothing.
func Prove(ctx context.Context, device string, begun Begun) error {
	dev, err := claim(device)
	if err != nil {
		return fmt.Errorf("checking the NTFS volume on %s: %w", device, err)
	}
	defer dev.Close()
	n, _, err := geometry(dev)
	if err == nil && n != begun.To {
		err = fmt.Errorf("its partition has %s, not %s", size(n), size(begun.To))
	}
	if err == nil {
		err = prove(ctx, dev, begun)
	}
	if err != nil {
		return fmt.Errorf("checking the NTFS volume on %s: %w", device, err)
	}
	return nil
}

// prove checks a volume after its resize, by what is on the disk and not in memory.
func prove(ctx context.Context, dev *os.File, begun Begun) error {
	uncache(dev)
	v, err := volume.Read(dev)
	if err != nil {
		return err
	}
	switch {
	case v.Serial != begun.Serial:
		return errOther
	case v.Clusters() != v.ClustersIn(begun.To):
		return fmt.Errorf("it has %s, not the %s that it should", size(v.Size()), size(begun.To))
	case v.MirrorCluster() != v.Mirror:
		return errors.New("its boot sector does not know where $MFTMirr is")
	case begun.Files > 0 && v.Files < begun.Files:
		return fmt.Errorf("it has %d files, and had %d before", v.Files, begun.Files)
	}
	if same, err := v.SameMirror(dev); err != nil || !same {
		return errors.Join(errors.New("$MFTMirr is not a copy of $MFT"), err)
	}
	first, last, err := bootSectors(dev, v.Boot, begun)
	if err != nil {
		return err
	}
	if !bytes.Equal(first, last) {
		return errors.New("the copy of the boot sector at its end is not equal to the boot sector")
	}
	if answer, err := probe(ctx, dev.Name()); err != nil {
		return err
	} else if r, ok := probed(answer); !ok {
		return r
	}
	r, err := resizeInfo(ctx, "--info", "--force", dev.Name())
	if err != nil {
		return err
	}
	if r.failure != "" {
		return understand(r.failure)
	}
	return r.sizes(v.ClusterSize, v.Clusters(), v.SectorSize)
}

// bootSectors are the boot sector and its copy, in the last sector of the partition that the volume gets.
func bootSectors(dev *os.File, b volume.Boot, begun Begun) (first, last []byte, err error) {
	first, last = make([]byte, b.SectorSize), make([]byte, b.SectorSize)
	if _, err := dev.ReadAt(first, 0); err != nil {
		return nil, nil, fmt.Errorf("reading the boot sector: %w", err)
	}
	if _, err := dev.ReadAt(last, begun.To-int64(b.SectorSize)); err != nil {
		return nil, nil, fmt.Errorf("reading the copy of the boot sector: %w", err)
	}
	return first, last, nil
}

// copyBoot writes the copy of the boot sector if a power cut came before it. Its place is behind the last cluster of
// the shrunk volume.
func copyBoot(dev *os.File, begun Begun) error {
	b, err := volume.ReadBoot(dev)
	if err != nil || b.Clusters() != b.ClustersIn(begun.To) {
		return err // prove says what is wrong
	}
	first, last, err := bootSectors(dev, b, begun)
	if err != nil || bytes.Equal(first, last) {
		return err
	}
	if _, err := dev.WriteAt(first, begun.To-int64(b.SectorSize)); err != nil {
		return fmt.Errorf("writing the copy of the boot sector: %w", err)
	}
	return dev.Sync()
}
