package divide

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"griddle/appliance/job"
	"griddle/appliance/layout"
	"griddle/initramfs/disk"
	"griddle/initramfs/disk/content"
	"griddle/initramfs/luks"

	"github.com/google/uuid"
)

// secrets refuses a plan with encrypted partitions that could not be opened here, before anything is written.
func (r *run) secrets(ctx context.Context) error {
	switch {
	case !r.plan.Encrypts():
		return nil
	case r.plan.Unlocks(layout.Passphrase) && len(r.Passphrase) == 0:
		return errors.New("the plan has encrypted partitions, and there is no passphrase for them; nothing was written")
	case r.plan.Unlocks(layout.Recovery) && (len(r.Recovery) == 0 || len(r.Recovery[0]) == 0):
		return errors.New("the plan has partitions that a recovery key opens, and there is none; nothing was written")
	}
	if err := luks.Ready(ctx); err != nil {
		return fmt.Errorf("the plan has encrypted partitions: %w; nothing was written", err)
	}
	return nil
}

// keys open what is encrypted.
func (r *run) keys() [][]byte { return append([][]byte{r.Passphrase}, r.Recovery...) }

// encrypt makes an encrypted volume in a partition that is cleared. Its UUID is in the journal before, so that what an
// interruption leaves is known as its own, and made again.
func encrypt(ctx context.Context, r *run, i int, h *held) error {
	s := r.plan.Steps[i]
	node, err := r.ready(ctx, i, s, h)
	if err != nil {
		return err
	}
	id := uuid.NewString()
	if err := r.record(ctx, Entry{Step: i + 1, State: Begun, UUID: id}); err != nil {
		return err
	}
	by := strings.Fields(s.Unlock)
	v := luks.Volume{UUID: id, Label: s.Label, Cost: r.cost, TPM: slices.Contains(by, layout.TPM2)}
	if slices.Contains(by, layout.Passphrase) {
		v.Passphrase = r.Passphrase
	}
	if slices.Contains(by, layout.Recovery) {
		v.Recovery = r.Recovery[0]
	}
	if err := luks.Make(ctx, node, v); err != nil {
		return err
	}
	return r.settled(ctx, s, node)
}

// makeWithin makes the filesystem of step i in the encrypted volume that an earlier step made. What is in a new volume
// is noise; what an interruption leaves of a filesystem has a UUID that the journal has, and is made again. The volume
// of a pool gets the unfinished mark of the job.
func (r *run) makeWithin(ctx context.Context, i int, h *held) error {
	s := r.plan.Steps[i]
	node, err := r.node(h, s.Number, s.Start, s.Size)
	if err != nil {
		return err
	}
	volume := r.uuid(s.Disk, s.Number)
	at := slices.IndexFunc(h.disk.Partitions, func(p job.Partition) bool { return p.Number == s.Number })
	if err := sameFilesystem(h.disk.Partitions[at], layout.Encrypted, volume); err != nil { // node found it
		return changed(h.disk, err)
	}
	inside, err := luks.Open(ctx, node, volume, r.keys()...)
	if err != nil {
		return err
	}
	if s.Size, err = r.cleared(ctx, i, h, inside); err != nil {
		return err
	}
	id := uuid.New()
	if err := r.record(ctx, Entry{Step: i + 1, State: Begun, UUID: written(s.Filesystem, id)}); err != nil {
		return err
	}
	if err := r.mkfs(ctx, i, s.Size, inside, id); err != nil {
		return err
	}
	if err := r.settled(ctx, s, inside); err != nil || r.part(i).Use != layout.Pool {
		return err
	}
	if err := luks.Close(ctx, volume); err != nil { // the mark is written while no one else has the disk
		return err
	}
	return r.begin(s, h)
}

// cleared wipes a volume in which nothing is known, or what an earlier Run left, and returns its size.
func (r *run) cleared(ctx context.Context, i int, h *held, inside string) (size int64, err error) {
	f, err := r.open(ctx, inside, patience)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if size, err = sizeOfNode(inside); err != nil {
		return 0, err
	}
	s := r.plan.Steps[i]
	has, id, err := content.Known(f, size)
	if err != nil {
		return 0, fmt.Errorf("%s: the encrypted partition %d: %w", h.disk, s.Number, err)
	}
	if has != "" && (has != s.Filesystem || !slices.Contains(r.past[i].uuids, id)) {
		return 0, fmt.Errorf("%w: %s: the encrypted partition %d has %s that this job did not make; nothing more was "+
			"written to it", ErrChanged, h.disk, s.Number, kind(has))
	}
	return size, wipe(f, 0, 0, size)
}

// within opens the encrypted volume in a partition that is as planned, and finds the filesystem in it.
func (r *run) within(ctx context.Context, p *Place) error {
	p.Volume = p.UUID
	inside, err := luks.Open(ctx, p.Node, p.Volume, r.keys()...)
	if errors.Is(err, luks.ErrKey) && p.Part.UnlockedBy(layout.TPM2) {
		inside, err = luks.OpenByTPM(ctx, p.Node, p.Volume)
	}
	if err == nil && !p.Fresh && p.Part.UnlockedBy(layout.Recovery) {
		p.Unrecoverable, err = r.unrecoverable(ctx, p.Node)
	}
	if err != nil {
		return fmt.Errorf("partition %d of %s: %w", p.Part.Number, p.Disk, err)
	}
	p.Node = inside
	f, err := os.Open(inside)
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := sizeOfNode(inside)
	if err != nil {
		return err
	}
	has := ""
	if has, p.UUID, err = content.Known(f, size); err != nil {
		return fmt.Errorf("the encrypted partition %d of %s: %w", p.Part.Number, p.Disk, err)
	}
	if has != p.Part.Inside || p.UUID == "" {
		return fmt.Errorf("%w: the encrypted partition %d of %s has %s, and %s was planned", ErrChanged, p.Part.Number,
			p.Disk, kind(has), kind(p.Part.Inside))
	}
	return nil
}

// unrecoverable says whether no recovery key of the machine opens the encrypted volume in a device file.
func (r *run) unrecoverable(ctx context.Context, node string) (bool, error) {
	for _, key := range r.Recovery {
		if err := luks.Opens(ctx, node, key); !errors.Is(err, luks.ErrKey) {
			return false, err
		}
	}
	return true, nil
}

// sizeOfNode is the size of an opened volume, in bytes.
func sizeOfNode(node string) (int64, error) {
	f, err := os.Open(node)
	if err != nil {
		return 0, err
	}
	size, _, err := disk.Geometry(f)
	return size, errors.Join(err, f.Close())
}

// written is the UUID of a filesystem as blkid writes it.
func written(filesystem string, id uuid.UUID) string {
	if filesystem == "vfat" {
		return strings.ToUpper(fmt.Sprintf("%x-%x", id[:2], id[2:4]))
	}
	return id.String()
}
