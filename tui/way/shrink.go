package way

import (
	"fmt"
	"slices"

	"griddle/appliance/job"
	"griddle/appliance/layout"
	"griddle/appliance/layout/plan"
	"griddle/tui/frame"
)

const mib, gib = 1 << 20, 1 << 30

// shrinking is the way that makes another system smaller.
func (m Model) shrinking() option {
	o := option{name: "Beside another system", says: "which gets less space; its files stay",
		about: "A filesystem with free space is made smaller, and the new system goes behind it. Its files stay, and " +
			"so do all other partitions. The next page asks how much space the new system gets."}
	parts := slices.DeleteFunc(slices.Clone(m.disk.Partitions), func(p job.Partition) bool { return !shrinks(p) })
	if len(parts) == 1 { // there is nothing to choose
		one := m.shrunk(parts[0])
		one.name, one.says, one.about = o.name, o.says, o.about+" "+one.about
		return one
	}
	return among(o, "What is to be made smaller?", "it has no NTFS, ext4 or btrfs that could be made smaller", parts,
		m.shrunk)
}

// shrinks says whether people may expect that p can be made smaller. BitLocker is among that, for the reason why not.
func shrinks(p job.Partition) bool {
	return (slices.Contains(layout.Shrinkable, p.Filesystem) || p.Filesystem == "BitLocker") &&
		p.Type != "EFI system" && p.Type != "Windows recovery" &&
		(p.Filesystem != "btrfs" || p.Label != layout.PoolLabel) // which is for "Existing pool"
}

// shrunk is the option that makes p smaller, with a page that asks how much.
func (m Model) shrunk(p job.Partition) option {
	o := option{name: label(p), says: "up to " + job.Bytes(most(p)) + " become free",
		about: fmt.Sprintf("Partition %d has %s%s. Up to %s of it can become free.", p.Number, job.Exact(p.Size),
			system(p), job.Bytes(most(p)))}
	all := m.shrunkBy(o, p, max(mib, most(p)))
	if len(all.why) > 0 {
		return all
	}
	o = m.shrunkBy(o, p, most(p)/2/mib*mib)
	if len(o.why) > 0 { // the image needs more than half
		o = all
	}
	o.next = func() level { return m.amounts(p) }
	return o
}

// most is how many bytes of p can become free, in whole MiB.
func most(p job.Partition) int64 {
	return max(0, p.Size-max(p.Minimum, p.Used)) / mib * mib
}

// shrunkBy plans that n bytes of p become free. The layout has the new size, so that it means the same if it is carried
// out a second time.
func (m Model) shrunkBy(o option, p job.Partition, n int64) option {
	return m.plans(o, layout.Form{Layout: layout.Shrunk, Partition: which(p),
		Shrink: &layout.Shrink{To: layout.Size{Bytes: max(mib, (p.Size-n+mib-1)/mib*mib)}}})
}

// Columns of the page that asks how much.
const forNew, forOld = 24, 24

// amounts is the page that asks how much space the new system gets: what it needs, round numbers, all that there is.
// Half of what can become free, or less, is the usual amount.
func (m Model) amounts(p job.Partition) level {
	l := level{title: "How much space does the new system get?",
		heading: frame.Pad("NEW SYSTEM", forNew) + frame.Pad(fmt.Sprintf("PARTITION %d", p.Number),
			forOld) + "OF THAT FREE"}
	needs := (m.Need + 262*mib + gib - 1) / gib * gib // with an ESP and a BIOS boot partition
	for _, n := range rounds(needs, most(p)) {
		o := m.shrunkBy(option{}, p, n)
		if len(o.why) > 0 {
			continue
		}
		old, pool := sizesOf(o.plan, p.Number)
		o.about = fmt.Sprintf("It gets %d bytes; partition %d keeps %d, and its files.", pool, p.Number, old)
		o.name = job.Bytes(pool) + ", " + job.Binary(pool)
		free := "not known"
		if p.Used > 0 {
			free = job.Bytes(max(0, old-p.Used))
		}
		o.says = frame.Pad(job.Bytes(old)+", "+job.Binary(old), forOld) + free
		if n <= most(p)/2 {
			l.row = len(l.options)
		}
		l.options = append(l.options, o)
	}
	return l
}

// sizesOf are how many bytes a partition and the pool of a plan have tomorrow.
func sizesOf(p plan.Plan, number int) (old, pool int64) {
	for _, q := range p.Disks[0].After {
		switch {
		case q.Number == number:
			old = q.Size
		case q.Use == layout.Pool:
			pool = q.Size
		}
	}
	return old, pool
}

// rounds are amounts from least to most: both of them, and 1, 2 and 5 times the powers of ten of GiB between.
func rounds(least, most int64) []int64 {
	out := []int64{most}
	if least < most {
		out = append(out, least)
	}
	for n := int64(gib); n < most; n *= 10 {
		for _, k := range []int64{1, 2, 5} {
			if n*k > least && n*k < most {
				out = append(out, n*k)
			}
		}
	}
	slices.Sort(out)
	return out
}
