package install

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"griddle/appliance/job"
	"griddle/initramfs/disk"
	"griddle/initramfs/disk/content"
	"griddle/initramfs/disk/table"
	"griddle/initramfs/divide"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"
)

// partitions is what partition has made.
type partitions struct {
	bios      divide.Extent // where GRUB for BIOS goes; zero if there is no place
	esp, pool string        // device files
	espID     string        // "1234-ABCD", as fstab names a FAT filesystem
	poolID    string        // UUID
	espDir    string
	poolDir   string
}

// partition looks at the disk once more, has its choice acknowledged, makes and mounts the filesystems, and keeps the
// machine's key.
func (w *work) partition(ctx context.Context) error {
	if err := w.unmountLeftovers(); err != nil {
		return err
	}
	f, old, err := w.claim()
	if err != nil {
		return err
	}
	defer f.Close()
	size, sectorSize := w.target.Size, w.target.SectorSize
	// What a server or a screen said of the disk is never believed: blank is what is read now.
	if !old.Recognised() {
		w.say("sampling %s to check that it is blank", w.target.Path)
		limited, cancel := context.WithTimeout(ctx, sampleLimit)
		old.Sampled = content.Sample(limited, f, size)
		cancel()
	}
	if err := mayWrite(w.spec, withContent(w.target, old), nil); err != nil {
		return err
	}
	l, err := table.WholeDisk(w.spec.ID, size, sectorSize)
	if err != nil {
		return err
	}
	if err := w.report.Started(ctx, recorded(w.spec, w.target, w.disks)); err != nil {
		return fmt.Errorf("reporting the disk before writing to it: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return err
	}

	w.enter(job.PhasePartition, "partitioning %s", w.target)
	w.written = true
	if err := l.Write(f, old); err != nil {
		return err
	}
	if err := table.Announce(f, w.o.Sys, l.Parts()); err != nil {
		return err
	}
	p := &w.parts
	p.bios = divide.Extent{Start: l.BIOS.Start, Size: l.BIOS.Size}
	if p.esp, err = disk.Node(w.target.Path, w.o.Sys, l.ESP.Number); err != nil {
		return err
	}
	if p.pool, err = disk.Node(w.target.Path, w.o.Sys, l.Pool.Number); err != nil {
		return err
	}
	// A filesystem program claims its partition, which the claim on the whole disk would refuse it.
	if err := f.Close(); err != nil {
		return fmt.Errorf("writing partition table: %w", err)
	}
	id := make([]byte, 4)
	rand.Read(id)
	volume := hex.EncodeToString(id)
	p.espID = fmt.Sprintf("%X-%X", id[:2], id[2:])
	p.poolID = uuid.NewString()
	if err := disk.MakeFAT(ctx, p.esp, job.ESPLabel(w.spec.ID), volume, sectorSize); err != nil {
		return err
	}
	if err := disk.MakeBtrfs(ctx, table.LabelPool, p.poolID, p.pool); err != nil {
		return err
	}
	if err := w.mount(); err != nil {
		return err
	}
	return w.persistent(w.parts.poolDir)
}

// claim opens the disk, which must be as it was when it was chosen: the list of disks may be hours old, and a name goes
// to another disk when its own is unplugged.
func (w *work) claim() (*os.File, content.Content, error) {
	f, err := disk.Claim(w.target.Path)
	if err != nil {
		return nil, content.Content{}, err
	}
	old, err := w.unchanged(f)
	if err != nil {
		return nil, content.Content{}, errors.Join(err, f.Close())
	}
	return f, old, nil
}

// unchanged is what the open disk has.
func (w *work) unchanged(f *os.File) (content.Content, error) {
	size, sectorSize, err := disk.Geometry(f)
	if err != nil {
		return content.Content{}, err
	}
	if size != w.target.Size || sectorSize != w.target.SectorSize {
		return content.Content{}, fmt.Errorf("%w: %s has changed: it now has %s and sectors of %d bytes", ErrRefused,
			w.target, job.Bytes(size), sectorSize)
	}
	switch serial, err := w.o.Serial(w.target.Path); {
	case err != nil:
		return content.Content{}, err
	case serial != w.target.Serial:
		return content.Content{}, fmt.Errorf("%w: %s is now another disk: its serial is %q", ErrRefused, w.target,
			job.Printable(serial))
	}
	return content.Inspect(f, size, sectorSize)
}

// unmountLeftovers unmounts what a crashed agent left mounted: otherwise the disk could not be claimed. An agent that
// kept the pool left the new root of package update.
func (w *work) unmountLeftovers() error {
	w.parts.poolDir, w.parts.espDir = filepath.Join(w.o.Mount, "pool"), filepath.Join(w.o.Mount, "esp")
	dirs, _ := filepath.Glob(filepath.Join(w.parts.poolDir, "@roots/*/*")) // see mountVolumes
	own, _ := filepath.Glob(w.newRoot() + "/*")                            // see package newroot
	dirs = append(append(dirs, own...), w.newRoot())
	root := w.newRoot()
	dirs = append(dirs, filepath.Join(root, "home"), filepath.Join(root, "persistent"), root)
	for _, dir := range append(dirs, w.parts.poolDir, w.parts.espDir, w.otherESP(0)) {
		// EINVAL: nothing is mounted there.
		if err := unix.Unmount(dir, unix.UMOUNT_NOFOLLOW); err != nil && !errors.Is(err, unix.EINVAL) &&
			!errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("unmounting %s of an earlier install: %w", dir, err)
		}
	}
	return nil
}

// mountPool mounts the pool, of a mirror with all its disks.
func (w *work) mountPool() error {
	if w.divided != nil && w.divided.own() {
		return mountShared(w.parts.pool, w.parts.poolDir)
	}
	var others []string
	for _, h := range w.halves()[1:] {
		others = append(others, h.pool)
	}
	return mountPool(w.parts.poolDir, w.parts.pool, others...)
}

func (w *work) mount() error {
	p := &w.parts
	if err := os.MkdirAll(p.poolDir, 0o700); err != nil {
		return fmt.Errorf("making mount point: %w", err)
	}
	if err := w.mountPool(); err != nil {
		return err
	}
	w.undo = append(w.undo, func() error { return unmount(p.poolDir) })
	for _, h := range w.halves() {
		node := h.esp.Node
		if w.divided == nil {
			node = p.esp
		}
		if err := os.MkdirAll(h.espDir, 0o700); err != nil {
			return fmt.Errorf("making mount point: %w", err)
		}
		off, err := w.o.MountESP(node, h.espDir)
		if err != nil {
			return err
		}
		w.undo = append(w.undo, off)
	}
	return nil
}

// recorded is what the server is told that a disk is called: what it was told before, else a name
// that no other disk has.
func recorded(spec job.Spec, d job.Disk, disks []job.Disk) string {
	if spec.Started != "" {
		return spec.Started
	}
	_, name := d.NameAmong(disks)
	return name
}

// open opens a disk of the system for writing beside the filesystems on it. Long after the claim its name may have gone
// to another disk; the mark tells.
func (w *work) open(d job.Disk) (*os.File, error) {
	f, err := os.OpenFile(d.Path, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("opening disk: %w", err)
	}
	c, err := content.Inspect(f, d.Size, d.SectorSize)
	if err == nil && c.Unfinished() != w.spec.ID && c.Finished() != w.spec.ID {
		err = fmt.Errorf("opening disk: %s no longer has the mark of this job", d.Path)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// finish removes the unfinished mark: nothing is mounted, and everything that was written is durable. Of a mirror the
// target comes last: while that has the mark, the job is not finished.
func (w *work) finish() error {
	for _, h := range slices.Backward(w.halves()) {
		w.enter(job.PhaseFinish, "removing the unfinished mark from %s", h.disk.Path)
		if err := w.finishOn(h.disk); err != nil {
			return err
		}
	}
	return nil
}

// finishOn is finish for one disk. One that an earlier start of this job finished stays as it is.
func (w *work) finishOn(d job.Disk) (err error) {
	f, err := w.open(d)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := f.Sync(); err != nil {
		return fmt.Errorf("syncing %s: %w", d.Path, err)
	}
	if c, err := content.Inspect(f, d.Size, d.SectorSize); err != nil || c.Finished() == w.spec.ID {
		return err
	}
	return table.Mark(f, d.Size, d.SectorSize, w.spec.ID)
}
