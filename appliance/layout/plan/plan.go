// Package plan applies a layout to the disks of a machine: what is there today and tomorrow, what is lost, and every
// step between.
//
// Call Make. It refuses with all reasons, or returns a Plan, which Plan.Text draws for people. A program that carries a
// plan out does its steps in their order and nothing else, and looks before each step whether its condition holds
// (Step.If). Server, command line and agent make the same plan of the same input, and know it by its Hash.
//
// A step is one of these, and touches no other bytes than its row says:
//
//	check-filesystem    nothing; the filesystem is whole, and a trial of shrinking it succeeds
//	save-table          nothing; a copy of the table is kept, so that it can be restored
//	shrink-filesystem   the partition
//	set-size            the table: the size of one entry
//	make-table          the whole disk: there is a new, empty table
//	add-entry           the table: one entry more
//	set-type            the table: type and name of one entry
//	clear               the partition: no signature of what was there is left
//	encrypt             the partition: it is a LUKS2 volume, which programs with its key can open
//	make-filesystem     the partition
//	make-mirror         the partition, and those of Step.With on other disks: one filesystem on all of them
//	make-volume         the partitions that the volume is made of
//
// Clear and make-filesystem also have a volume in place of a partition: they touch the partitions that it is made of.
// All checks and copies, of all disks, come before the first step that writes. The table of a disk is the sectors
// before the first and behind the last one that a partition can have.
//
// Guarantees, which Make proves for each plan before it returns it: no step touches a byte of a partition that stays;
// the entries of these are the same before and after; new partitions begin and end at whole MiB, within what the table
// can address, and meet no other.
//
// The hash is the SHA-256 of the steps, of what is on the disks today and tomorrow, and of what identifies the disks:
// serial, WWN, size and size of the sectors, and the place where the disk is plugged in where it has neither serial nor
// WWN; table and its ID; of each partition number, start, size, type, name, filesystem, its label and UUID, and the
// install that the partition says it has. What can change between two looks at the same machine does not count: the
// paths of disks, models, what a sample read, how full filesystems are and how far they could be shrunk. Nor do the
// words of the plan.
//
// Sources: UEFI 2.10 section 5.3 (GPT); the kernel's block/partitions/msdos.c (MBR).
package plan

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"griddle/appliance/job"
	"griddle/appliance/layout"
)

// Version is the version of the plans that this package makes.
const Version = 1

// ErrRefused is wrapped by every error of Make.
var ErrRefused = errors.New("the layout does not fit this machine")

// Input is what a plan is made of.
type Input struct {
	Layout layout.Document
	Disks  []job.Disk // all of the machine
	Pool   int64      // bytes that the pool must have, such as job.DiskNeeds of the image; 0: as few as btrfs takes
}

// Plan is what will be done to the disks of one machine.
type Plan struct {
	Version int      `json:"version"`
	Disks   []Disk   `json:"disks"`             // those of the layout, in its order
	Volumes []Volume `json:"volumes,omitempty"` // each behind those that it is made of
	Steps   []Step   `json:"steps"`
	Losses  []string `json:"losses,omitempty"`  // what is gone afterwards
	Shrinks []string `json:"shrinks,omitempty"` // what becomes smaller, and by how much
	Keeps   []string `json:"keeps,omitempty"`   // what stays
	Notes   []string `json:"notes,omitempty"`   // what may surprise
	Hash    string   `json:"hash"`              // "sha256:" and 64 hex digits
}

// Disk is one disk of a plan.
type Disk struct {
	ID       string `json:"id"` // in the layout
	Identity        // what must be the same when the plan is carried out
	Path     string `json:"path"` // today; it may be another one after the next start
	Model    string `json:"model,omitempty"`
	Before   []Part `json:"before"`
	After    []Part `json:"after"`
}

// Part is one partition of a disk, today or tomorrow, by where it begins. Number 0 is what a disk without a table that
// can be read has on it.
type Part struct {
	Number     int    `json:"number"`
	Start      int64  `json:"start"` // bytes
	Size       int64  `json:"size"`  // bytes
	Type       string `json:"type,omitempty"`
	Name       string `json:"name,omitempty"`
	Filesystem string `json:"filesystem,omitempty"`
	Label      string `json:"label,omitempty"`
	UUID       string `json:"uuid,omitempty"`  // of the filesystem of today
	Mount      string `json:"mount,omitempty"` // where the installed system has it
	Use        string `json:"use,omitempty"`   // as the layout says what it is for; "" where that says nothing
	// Unlock is by what an encrypted partition is opened, the values of layout.LUKS.Unlock with spaces between, and
	// Inside is the filesystem in it: Filesystem is layout.Encrypted then. Both are "" without encryption.
	Unlock string `json:"unlock,omitempty"`
	Inside string `json:"inside,omitempty"`
	// Installed and Unfinished are those of today, as in job.Partition.
	Installed  string `json:"installed,omitempty"`
	Unfinished string `json:"unfinished,omitempty"`
	Fate       Fate   `json:"fate"`
}

// Fate is what becomes of a partition.
type Fate string

// The fates. Extended is the frame of logical partitions, which stays too.
const (
	Stays    Fate = "stays"
	Shrunk   Fate = "shrunk"
	Emptied  Fate = "emptied" // it gets a new filesystem
	Lost     Fate = "lost"
	Made     Fate = "made"
	Extended Fate = "extended"
)

// Make makes the plan. Errors wrap ErrRefused and have every reason, each with the disk and the partition.
func Make(in Input) (Plan, error) {
	if mistakes := in.Layout.Check(); len(mistakes) > 0 {
		return Plan{}, fmt.Errorf("%w: %w", ErrRefused, mistakes)
	}
	m := maker{Input: in}
	for _, want := range in.Layout.Disks {
		have, err := want.Match.Pick(in.Disks)
		if err != nil {
			m.refusals = append(m.refusals, fmt.Errorf("disk %s: %w", want.ID, err))
			continue
		}
		have.Partitions = slices.Clone(have.Partitions) // another look may have another order
		slices.SortStableFunc(have.Partitions, func(a, b job.Partition) int {
			return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(a.Number, b.Number))
		})
		m.targets = append(m.targets, &target{want: want, have: have, pool: in.Pool})
	}
	m.identities()
	for _, t := range m.targets {
		t.divide()
		m.refusals = append(m.refusals, t.refusals...)
	}
	m.mirror()
	var volumes []Volume
	if len(m.refusals) == 0 {
		volumes = m.volumes()
		for _, t := range m.targets {
			m.refusals = append(m.refusals, t.refusals...)
		}
	}
	if len(m.refusals) > 0 {
		return Plan{}, fmt.Errorf("%w: %w", ErrRefused, errors.Join(m.refusals...))
	}
	p := Plan{Version: Version, Volumes: volumes, Steps: m.steps()}
	p.Steps = append(p.Steps, p.volumeSteps()...)
	m.words(&p)
	for _, t := range m.targets {
		p.Disks = append(p.Disks, t.disk())
	}
	if err := p.prove(); err != nil {
		return Plan{}, fmt.Errorf("%w: this is a defect of Griddle, please report it: %w", ErrRefused, err)
	}
	p.Hash = p.hash()
	return p, nil
}

// maker makes one plan.
type maker struct {
	Input
	targets  []*target // the disks of the layout
	refusals []error
}
