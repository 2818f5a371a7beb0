package install

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"griddle/appliance/job"
	"griddle/initramfs/disk"
	"griddle/initramfs/disk/content"
	"griddle/initramfs/hook"
)

// Check picks the disk for spec. It returns an error that wraps ErrRefused if the rule picks no disk or several, if a
// started job picks another disk than before, if the disk is too small for the image, or if the disk has data that no
// one allowed to destroy; the error then says what would be lost. Check changes nothing.
//
// A disk may be overwritten if it is proved to be blank, if it is the only disk that spec.Erase names, or if it has the
// unfinished mark of this job. A disk on which this job was finished passes too: its Installed is the job's ID. So does
// one with the pool of another job that was finished, if spec.Erase is empty: see Keeps. It must be in spec.Pools, if
// the server knows any.
func Check(spec job.Spec, img Image, disks []job.Disk) (job.Disk, error) {
	if err := checkJob(spec, img); err != nil {
		return job.Disk{}, err
	}
	rule := spec.Disk
	if rule == "" && spec.Started == "" {
		return job.Disk{}, fmt.Errorf("%w: the job names no disk", ErrRefused)
	}
	d, err := rule.Pick(disks)
	if err != nil {
		return job.Disk{}, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if spec.Started != "" && !d.Named(spec.Started) {
		return job.Disk{}, fmt.Errorf("%w: this job was started on disk %s, but its rule %q now picks %s", ErrRefused,
			job.Printable(spec.Started), rule, d)
	}
	if err := checkSameDisk(spec, d, disks); err != nil {
		return job.Disk{}, err
	}
	if d.Installed == spec.ID {
		return d, nil
	}
	if d.SectorSize != 512 && d.SectorSize != 4096 {
		return job.Disk{}, fmt.Errorf("%w: %s has sectors of %d bytes; only 512 and 4096 are supported",
			ErrRefused, d, d.SectorSize)
	}
	if err := checkOwner(spec, d, disks); err != nil {
		return job.Disk{}, err
	}
	if spec.Keeps(d) {
		return d, nil // its pool says what it has room for
	}
	if spec.FindsPool(d) {
		_, name := d.NameAmong(disks)
		with := "gdisk " + job.Printable(d.Path) + " (its command w)"
		if d.Table == "mbr" {
			with = "fdisk " + job.Printable(d.Path)
		}
		return job.Disk{}, fmt.Errorf("%w: disk %s has a pool, but a damaged partition table: %s; to keep the pool, "+
			"repair the table with %s; to overwrite it, add --erase %s", ErrRefused, d, job.Sentence(d.Damaged), with,
			name)
	}
	if need := job.DiskNeeds(img.Size()); d.Size < need {
		return job.Disk{}, fmt.Errorf("%w: disk too small: %s has %s (%d bytes), %s needs %s (%d bytes)",
			ErrRefused, d, job.Bytes(d.Size), d.Size, img.Ref(), job.Bytes(need), need)
	}
	return d, mayWrite(spec, d, disks)
}

// checkJob refuses a job that makes no sense on any disk.
func checkJob(spec job.Spec, img Image) error {
	if spec.Kind != job.Install {
		return fmt.Errorf("%w: unknown kind of job %q", ErrRefused, job.Printable(string(spec.Kind)))
	}
	if !isUUID(spec.ID) {
		return fmt.Errorf("%w: job ID %q is not a UUID", ErrRefused, job.Printable(spec.ID))
	}
	if _, err := job.ParseReset(string(spec.Reset)); err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if streams := img.Streams(); len(streams) == 0 || streams[0].Parent != nil {
		return fmt.Errorf("%w: the first stream of %s is not a full stream", ErrRefused, img.Ref())
	}
	return nil
}

// checkOwner refuses the pool of another machine.
func checkOwner(spec job.Spec, d job.Disk, disks []job.Disk) error {
	if !spec.FindsPool(d) || ownPool(spec, d) {
		return nil
	}
	_, name := d.NameAmong(disks)
	return fmt.Errorf("%w: disk %s has the pool of job %s, which is not one of this machine: the server knows that of "+
		"job %s; to overwrite it, add --erase %s; if the disk moved here, use `griddle machine merge`", ErrRefused, d,
		job.Printable(d.Installed), job.Printable(spec.Pools[0]), name)
}

// checkSameDisk refuses a disk that may not be the one on which the job was started, although it has the recorded name:
// after a reboot a path, or a serial that two disks share, may belong to another disk. Then the job's own mark decides.
// A blank disk cannot lose anything. A job that keeps a pool has no mark until its end: it goes on in the machine's
// only pool.
func checkSameDisk(spec job.Spec, d job.Disk, disks []job.Disk) error {
	if spec.Started == "" || d.Unfinished == spec.ID || d.Installed == spec.ID {
		return nil
	}
	unique := spec.Started == d.Serial || spec.Started == d.WWN
	only := spec.Keeps(d)
	for _, other := range disks {
		if other.Path == d.Path {
			continue
		}
		if other.Unfinished == spec.ID || other.Installed == spec.ID {
			return fmt.Errorf("%w: this job was started on %s, which has its mark, but its rule %q now picks %s",
				ErrRefused, other, spec.Disk, d)
		}
		unique = unique && !other.Named(spec.Started)
		only = only && !spec.FindsPool(other)
	}
	if unique || only || d.Blank() {
		return nil
	}
	return fmt.Errorf("%w: this job was started on a disk with the name %s, and it is not certain that this is %s, "+
		"which has: %s; give the machine a new job",
		ErrRefused, job.Sentence(spec.Started), d, d.Loss())
}

// ownPool says whether the pool of the disk is one that the server knows of this machine, or the server knows none.
func ownPool(spec job.Spec, d job.Disk) bool {
	return len(spec.Pools) == 0 || slices.Contains(spec.Pools, d.Installed)
}

// mayWrite is the erase rule: a disk with data is overwritten only if the job names it or has its mark on it.
func mayWrite(spec job.Spec, d job.Disk, disks []job.Disk) error {
	if d.Blank() || hasMark(spec, d) {
		return nil
	}
	if d.Named(spec.Erase) {
		for _, other := range disks {
			if other.Path != d.Path && other.Named(spec.Erase) {
				_, name := d.NameAmong(disks)
				return fmt.Errorf("%w: %q names both %s and %s; to overwrite the first one, use --erase %s", ErrRefused,
					job.Sentence(spec.Erase), d, other, name)
			}
		}
		return nil
	}
	holds := d.Loss()
	if d.Unfinished != "" {
		holds = fmt.Sprintf("the unfinished install of another job, %s; %s", job.Printable(d.Unfinished), holds)
	}
	if spec.Erase != "" {
		return fmt.Errorf("%w: the job may erase %q, which is not %s; this disk has: %s", ErrRefused,
			job.Sentence(spec.Erase), d, holds)
	}
	_, name := d.NameAmong(disks)
	return fmt.Errorf("%w: disk %s is not blank: %s; to overwrite it, add --erase %s", ErrRefused, d, holds, name)
}

// hasMark says whether the disk has the unfinished mark of this very job on the whole of it. The mark of a job that
// wrote no table yet counts only where nothing else is recognised: what was put there later is not the job's. The mark
// of one partition never counts: all others belong to someone else.
func hasMark(spec job.Spec, d job.Disk) bool {
	if d.Unfinished == "" || d.Unfinished != spec.ID {
		return false
	}
	for _, p := range d.Partitions {
		if p.Name == content.NameUnfinished {
			return true
		}
	}
	return d.Table == "" && d.Signature == "" && len(d.Partitions) == 0
}

// isUUID reports whether s is a UUID in lower case with dashes.
func isUUID(s string) bool {
	return len(s) == 36 && s == strings.ToLower(s) && uuid.Validate(s) == nil
}

// advice says what a person should do about an error.
func advice(p job.Phase, err error) string {
	switch {
	case errors.Is(err, context.Canceled):
		return "the job was stopped; it starts again when the machine boots from the network"
	case errors.Is(err, ErrRefused):
		return "nothing was written to disk"
	case errors.Is(err, hook.ErrFailed):
		return "the disk is marked as unfinished: correct the hook, then start the job again"
	}
	switch p {
	case job.PhaseCheck:
		return "nothing was written to disk"
	case job.PhasePartition:
		return "check the disk, then start the job again"
	case job.PhaseReceive:
		return "check the network and the disk, then start the job again"
	case job.PhaseVerify:
		return "the disk or memory of this machine may be faulty: test them, then start the job again"
	}
	return "the disk is marked as unfinished: start the job again; if the message names a file of the template, " +
		"correct the template first"
}

// Disks converts disks to the form that the agent sends to the server.
func Disks(found []disk.Disk) []job.Disk {
	var out []job.Disk
	for _, d := range found {
		j := job.Disk{
			Path: d.Path, Model: d.Model, Serial: d.Serial, WWN: d.WWN, Place: d.Place, Bus: d.Bus, Size: d.Size,
			SectorSize: d.SectorSize, PhysicalSector: d.Physical, Rotational: d.Rotational, Firmware: d.Firmware,
			Removable: d.Removable, ReadOnly: d.ReadOnly, Paths: d.Paths, BootAreas: d.BootAreas,
		}
		if d.Health.State != "" {
			h := job.Health(d.Health)
			j.Health = &h
		}
		out = append(out, withContent(j, d.Content))
	}
	return out
}

func ofPool(p *content.PoolContent) *job.Pool {
	if p == nil {
		return nil
	}
	out := &job.Pool{Images: p.Images}
	for _, r := range p.Roots {
		out.Roots = append(out.Roots, job.Root{Name: r.Name, Image: r.Image, Good: r.Good, Next: r.Next,
			Reset: job.Reset(r.Reset)})
	}
	return out
}

func withContent(j job.Disk, c content.Content) job.Disk {
	j.Table, j.TableID, j.Damaged, j.Sampled = c.Table, c.GUID, c.Damaged, c.Sampled
	j.UsableFrom, j.UsableTo = c.UsableFrom, c.UsableTo
	j.Signature, j.Label, j.Variant = c.Signature.Type, c.Signature.Label, c.Signature.Variant
	j.Unfinished, j.Installed, j.Partitions = c.Unfinished(), c.Finished(), nil
	j.Slots = c.Slots
	for _, p := range c.Partitions {
		j.Partitions = append(j.Partitions, job.Partition{
			Number: p.Number, Start: p.Start, Size: p.Size, Name: p.Name, Type: p.Type,
			Filesystem: p.Signature.Type, Label: p.Signature.Label, Variant: p.Signature.Variant,
			UUID: p.UUID, Used: p.Used, Minimum: p.Minimum, Unfit: p.Unfit, System: p.System, Pool: ofPool(p.Pool),
		})
		switch part := &j.Partitions[len(j.Partitions)-1]; {
		case p.Mark.Finished:
			part.Installed = p.Mark.Job
		default:
			part.Unfinished = p.Mark.Job
		}
	}
	return j.Bounded()
}
