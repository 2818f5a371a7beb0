package way

import (
	"fmt"
	"slices"
	"strings"

	"griddle/appliance/job"
	"griddle/appliance/layout"
	"griddle/appliance/layout/plan"
	"griddle/tui/frame"
)

// noPool is why most disks do not offer to keep one.
const noPool = "the disk has no pool"

// ways is the first page. The first way that the disk offers is the usual one: it loses least.
func (m Model) ways() level {
	keep := m.plans(option{name: "Existing pool", says: "it stays, with its roots and data",
		about: "The pool of an earlier install stays, with its roots, /home and /persistent, and gets the new " +
			"system. All other partitions stay."},
		layout.Form{Layout: layout.KeepPool})
	free := m.plans(option{name: "Free space", says: "all that is on the disk stays",
		about: "The new system goes into free space of the disk. All partitions stay. It shares the EFI system " +
			"partition with the other systems, if there is one."},
		layout.Form{Layout: layout.FreeSpace})
	whole := m.plans(option{name: "Whole disk", says: "EVERYTHING on the disk is lost",
		about: "The disk gets a new partition table: a boot partition for BIOS, one for UEFI, and a btrfs pool for " +
			"images, roots, /home and /persistent on the rest."},
		layout.Form{Layout: layout.WholeDisk, Wipe: !m.disk.Blank()})
	smaller := m.shrinking()
	if len(free.plan.Losses) > 0 {
		free.says = "an install that did not finish is made again"
	}
	for _, d := range m.halves() {
		keep.about += " The pool is a mirror: its other disk, " + job.Printable(d.Path) + ", gets the new system too."
	}
	if slices.Contains(keep.why, noPool) {
		keep.why = []string{noPool}
	}
	if slices.ContainsFunc(m.disk.Partitions, m.disk.HasPool) {
		whole.about += " This also deletes the /home and /persistent of the earlier install."
	}
	switch {
	case m.disk.Blank():
		whole.says = "the disk is blank"
		free.why = []string{"the disk is blank, and \"Whole disk\" is the same"}
	case len(keep.why) == 0: // a layout would mean that pool, and make none
		free.why = []string{"the disk has a pool, and \"Existing pool\" uses it"}
		smaller.why = free.why
	}
	l := level{title: "How to use " + job.Printable(m.disk.Path),
		options: []option{keep, free, smaller, m.overwriting(), whole}}
	if m.Mirror {
		l.options = append(l.options, m.mirroring())
	}
	l.row = l.usual()
	return l
}

// usual is the first row that is offered.
func (l level) usual() int {
	return max(0, slices.IndexFunc(l.options, func(o option) bool { return len(o.why) == 0 }))
}

// plans gives an option its layout and the plan of it, or the reasons why there is none.
func (m Model) plans(o option, f layout.Form) option {
	f.Version, f.Match = layout.Version, m.match
	o.doc = f.Document()
	if f.Layout == layout.OnePartition && m.disk.Table == layout.GPT && m.hasOneBIOS() { // then GRUB for BIOS uses it
		o.doc.Disks[0].Partitions = append(o.doc.Disks[0].Partitions, layout.Partition{ID: "bios", Use: layout.BIOS,
			Keep: true})
	}
	var err error
	o.plan, err = plan.Make(plan.Input{Layout: o.doc, Disks: m.disks, Pool: m.Need})
	o.why = nil
	boot := func(p plan.Part) bool { return p.Type == "BIOS boot" }
	switch {
	case err != nil:
		o.why = reasons(err)
	case m.BIOS && m.disk.Table == layout.GPT && !slices.ContainsFunc(o.plan.Disks[0].After, boot):
		o.why = []string{"this machine starts by BIOS, and the disk has and gets no BIOS boot partition"}
	}
	return o
}

// hasOneBIOS says whether the disk has one BIOS boot partition. A layout would not know which of several is meant.
func (m Model) hasOneBIOS() bool {
	n := 0
	for _, p := range m.disk.Partitions {
		if p.Type == "BIOS boot" {
			n++
		}
	}
	return n == 1
}

// reasons are why a plan was refused, without what only helps people who write layouts.
func reasons(err error) (out []string) {
	for _, r := range plan.Refusals(err) {
		text := r.Text
		switch of := roles[r.Part]; {
		case strings.HasPrefix(text, "there is none on the disk") && of != "":
			text = "the disk has no " + of
		case of != "" && !strings.HasPrefix(text, "partition "):
			text = of + ": " + text
		}
		out = append(out, frame.Clean(text))
	}
	if len(out) == 0 {
		out = []string{frame.Clean(strings.TrimPrefix(err.Error(), plan.ErrRefused.Error()+": "))}
	}
	return out
}

// roles are the partitions of the short forms of layouts, for people.
var roles = map[string]string{"esp": "EFI system partition", "bios": "BIOS boot partition", "pool": "pool",
	"shrunk": "filesystem that can be made smaller", "esp2": "EFI system partition of the other disk",
	"bios2": "BIOS boot partition of the other disk", "pool2": "pool on the other disk"}

// which names one partition of the disk in a layout. The plan that the user agrees to knows it by more than that.
func which(p job.Partition) *layout.Which { return &layout.Which{Number: p.Number} }

// system is the system in a partition, in words to follow others; "" if none is known.
func system(p job.Partition) string {
	if s := job.Sentence(p.System); s != "" {
		return ", " + s
	}
	return ""
}

// label names a partition on the screen.
func label(p job.Partition) string {
	kind := plan.Part{Type: p.Type, Filesystem: p.Filesystem, Label: p.Label}
	return fmt.Sprintf("Partition %d, %s", p.Number, kind.Holds())
}

// overwriting is the way that loses one partition.
func (m Model) overwriting() option {
	o := option{name: "One partition", says: "its content is lost, all others stay",
		about: "One partition gets the new system, and what is in it is lost. All others stay. The next page asks " +
			"which one."}
	extended := func(p job.Partition) bool { return p.Type == "extended" }
	parts := slices.DeleteFunc(slices.Clone(m.disk.Partitions), extended)
	return among(o, "Which partition is to be overwritten?", "there is no partition on the disk", parts, m.overwritten)
}

// overwritten is the option that loses p.
func (m Model) overwritten(p job.Partition) option {
	sizes := job.Bytes(p.Size) + ", " + job.Binary(p.Size)
	o := option{name: label(p), says: sizes, about: fmt.Sprintf("What is in partition %d, %s%s, is lost. All other "+
		"partitions stay.", p.Number, job.Exact(p.Size), system(p))}
	if p.Type == "EFI system" {
		o.why = []string{fmt.Sprintf("partition %d is the EFI system partition, which the new system needs too",
			p.Number)}
		return o
	}
	return m.plans(o, layout.Form{Layout: layout.OnePartition, Partition: which(p), Wipe: true})
}

// maxReasons are shown of what is in the way: a disk can have more than a screen has room for.
const maxReasons = 4

// among is the option whose choice is completed on a page with an option for each of all. It is offered if one of them
// is; if not, the reasons are those of all. The page is made when it is opened: each of its options needs a plan.
func among[T any](o option, title, none string, all []T, of func(T) option) option {
	for _, p := range all {
		one := of(p)
		if len(one.why) == 0 {
			o.why, o.plan, o.doc = nil, one.plan, one.doc
			o.next = func() level {
				l := level{title: title, options: each(all, of)}
				l.row = l.usual()
				return l
			}
			return o
		}
		for _, why := range one.why {
			if !slices.Contains(o.why, why) && len(o.why) < maxReasons {
				o.why = append(o.why, why)
			}
		}
	}
	if len(all) == 0 {
		o.why = []string{none}
	}
	return o
}

func each[T, U any](all []T, f func(T) U) []U {
	out := make([]U, len(all))
	for i, x := range all {
		out[i] = f(x)
	}
	return out
}
