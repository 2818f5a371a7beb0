package ntfs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"griddle/initramfs/ntfs/volume"

	"golang.org/x/sys/unix"
)

const mib = 1 << 20

// Room that a shrunk volume keeps.
const (
	// Margin is what Windows needs beside its files, in bytes: with the minimum that ntfsresize reports, its updates
	// fail, and so may a resize whose lists of runs grow (github.com/FOGProject/fogproject/issues/789).
	Margin = 512 * mib
	// room is what is left after $MFT and $MFTMirr, so that they stay where they are.
	room = 64 * mib
)

// Facts are what a volume is.
type Facts struct {
	Device      int64 // bytes of the partition
	Size        int64 // bytes of the volume, with the copy of the boot sector at its end
	SectorSize  int   // bytes
	ClusterSize int   // bytes
	Used        int64 // bytes, in whole megabytes

	// Minimum is the smallest size that Shrink takes, in bytes: a multiple of 1 MiB. It is not below what ntfsresize
	// reports and Margin, and never below the places of $MFT and $MFTMirr.
	Minimum int64

	Files  int64 // records of $MFT in use, 0 if unknown
	Serial uint64
	System bool // it looks like the volume from which Windows runs

	// Refusals are why it cannot be shrunk, none if it can. With some of them the other facts are zero.
	Refusals []Refusal
}

// Fit says whether the volume can be shrunk at all.
func (f *Facts) Fit() bool { return len(f.Refusals) == 0 && f.Minimum < f.Size }

// Look says what the volume on a partition is, and why it cannot be shrunk. It changes nothing. An error means that the
// partition could not be read or a program did not run, and nothing is known.
func Look(ctx context.Context, device string) (*Facts, error) {
	f, err := look(ctx, device)
	if err != nil {
		return nil, fmt.Errorf("looking at %s: %w", device, err)
	}
	return f, nil
}

func look(ctx context.Context, device string) (*Facts, error) {
	dev, err := os.OpenFile(device, os.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer dev.Close()
	f := &Facts{}
	sector := 0
	if f.Device, sector, err = geometry(dev); err != nil {
		return nil, err
	}
	b, err := volume.ReadBoot(dev)
	switch {
	case errors.Is(err, volume.ErrBitLocker):
		f.Refusals = append(f.Refusals, refuse(BitLocker))
		return f, nil
	case errors.Is(err, volume.ErrNotNTFS):
		f.Refusals = append(f.Refusals, refuse(NotNTFS))
		return f, nil
	case err != nil:
		return f, f.damaged(err)
	}
	f.Size, f.SectorSize, f.ClusterSize, f.Serial = b.Size(), b.SectorSize, b.ClusterSize, b.Serial
	if misfit := fits(b, f.Device, sector); misfit != nil {
		f.Refusals = append(f.Refusals, misfit...)
		return f, nil
	}
	v, err := volume.Read(dev)
	if err != nil {
		return f, f.damaged(err)
	}
	f.Files, f.System = v.Files, v.System()
	if v.Dirty {
		f.Refusals = append(f.Refusals, refuse(Dirty))
	}
	if same, err := v.SameMirror(dev); err != nil {
		return nil, err
	} else if !same || v.MirrorCluster() != v.Mirror {
		f.Refusals = append(f.Refusals, damaged("$MFTMirr is not a copy of $MFT"))
		return f, nil
	}
	return f, f.ask(ctx, device, v)
}

// damaged refuses a volume for what its reader says, unless the partition could not be read: that is returned.
func (f *Facts) damaged(err error) error {
	if unreadable(err) {
		return err
	}
	f.Refusals = append(f.Refusals, damaged(err.Error()))
	return nil
}

// unreadable says whether the kernel failed, and not the reader of the bytes.
func unreadable(err error) bool {
	var failed *fs.PathError
	return errors.As(err, &failed)
}

// fits compares a volume with the partition and the disk that have it.
func fits(v volume.Boot, device int64, sector int) []Refusal {
	switch {
	case v.Size() > device:
		return []Refusal{{Reason: Cut, Why: fmt.Sprintf("it has %s, and its partition "+
			"%s", size(v.Size()), size(device)),
			Do: "the partition table is wrong: write nothing to this disk before the table is repaired"}}
	case v.SectorSize != sector || sector != 512 && sector != 4096:
		return []Refusal{{Reason: Sectors, Why: fmt.Sprintf("it was made for sectors of %d bytes, and the disk has %d",
			v.SectorSize, sector), Do: "connect the disk as it was when Windows was installed"}}
	}
	return nil
}

// ask runs the two programs. Neither sees all: ntfs-3g.probe does not see that the volume is marked for a check, and
// ntfsresize does not see hibernation and unfinished changes.
func (f *Facts) ask(ctx context.Context, device string, v *volume.Volume) error {
	answer, err := probe(ctx, device)
	if errors.Is(err, errWrites) {
		f.Refusals = append(f.Refusals, damaged("ntfs-3g.probe wants to repair it"))
		return nil
	}
	if err != nil {
		return err
	}
	if r, ok := probed(answer); !ok {
		f.Refusals = append(f.Refusals, r)
		return nil
	}
	args := []string{"--info"}
	if v.Dirty { // which is known, and would be all that it says
		args = append(args, "--force")
	}
	r, err := resizeInfo(ctx, append(args, device)...)
	if err != nil {
		return err
	}
	if r.failure != "" {
		f.Refusals = append(f.Refusals, understand(r.failure))
		return nil
	}
	if err := r.sizes(v.ClusterSize, v.Clusters(), v.SectorSize); err != nil {
		return err
	}
	if r.minimum == 0 {
		return errors.New("reading the output of ntfsresize: the minimum is missing")
	}
	f.Used = r.used
	mft, mirror := v.Ends()
	f.Minimum = (max(r.minimum+Margin, mft+room, mirror+room) + mib - 1) / mib * mib
	return nil
}

// probed makes a refusal of an answer of ntfs-3g.probe; ok means that it found nothing.
func probed(answer int) (r Refusal, ok bool) {
	switch answer {
	case probeFit:
		return r, true
	case probeNotNTFS, probeDamaged:
		return damaged("ntfs-3g.probe cannot open it"), false
	case probeHibernated:
		return refuse(Hibernated), false
	case probeUnclean:
		return refuse(Unclean), false
	case probeInUse:
		return refuse(InUse), false
	}
	return damaged(fmt.Sprintf("ntfs-3g.probe ends with %d", answer)), false
}

// Move is what a resize would move.
type Move struct {
	Clusters int64
	Bytes    int64
}

// Relocations says how much a resize to a size would move, by a dry run of it. It changes nothing.
func Relocations(ctx context.Context, device string, to int64) (Move, error) {
	m, err := dryRun(ctx, device, to)
	if err != nil {
		return Move{}, fmt.Errorf("trying to shrink %s to %s: %w", device, size(to), err)
	}
	return m, nil
}

func dryRun(ctx context.Context, device string, to int64, more ...string) (Move, error) {
	r, err := resizeInfo(ctx, append(more, "--no-action", "--size", fmt.Sprint(to), device)...)
	switch {
	case err != nil:
		return Move{}, err
	case r.failure != "":
		return Move{}, understand(r.failure)
	case r.nothing:
		return Move{}, nil
	case !r.dryRun:
		return Move{}, errors.New("reading the output of ntfsresize: it does not say that the dry run ended well")
	case r.new == 0 || r.new > to:
		return Move{}, fmt.Errorf("reading the output of ntfsresize: its new size is %d bytes", r.new)
	}
	return Move{Clusters: r.relocations, Bytes: r.relocations * r.cluster}, nil
}
