package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf16"

	"griddle/appliance/job"
	"griddle/appliance/layout"
)

// area is space of a disk in bytes, from its first one to behind its last one.
type area struct{ from, to int64 }

func (a area) size() int64 { return max(0, a.to-a.from) }

// free is where partitions can be made: whole MiB between those of tomorrow. The first and the last MiB of a disk are
// left to its tables, also where a smaller one would do.
func (t *target) free() (out []area) {
	from, to := int64(mib), t.have.Size/mib*mib-mib
	if t.table == layout.MBR {
		to = min(to, 1<<32*int64(t.have.SectorSize))
	}
	if !t.fresh {
		first, last := t.usable()
		from, to = max(from, roundUp(first)), min(to, roundDown(last))
	}
	for _, p := range t.parts {
		if !logical(t.table, p.Number) { // which is in the extended one
			out = append(out, area{from, min(to, roundDown(p.Start))})
			from = max(from, roundUp(p.end()))
		}
	}
	out = append(out, area{from, to})
	return slices.DeleteFunc(out, func(a area) bool { return a.size() == 0 })
}

// place puts what has to be made into the area behind the partition that is shrunk, and otherwise into the largest
// free one, in the order of the layout.
func (t *target) place(made []layout.Partition) {
	if len(made) == 0 {
		return
	}
	var into area
	for _, a := range t.free() {
		if a.size() > into.size() {
			into = a
		}
	}
	where := "the largest free area of the disk"
	for _, p := range t.parts {
		if p.fate != Shrunk {
			continue
		}
		where = "the area behind the partition that is shrunk"
		into = area{}
		for _, a := range t.free() {
			if a.from == roundUp(p.end()) {
				into = a
			}
		}
	}
	sizes, ok := t.sizes(made, into, where)
	if !ok {
		return
	}
	at := into.from
	for i, e := range made {
		number := t.number()
		if number == 0 {
			t.refusePart(e, "its table has no entry left: %s", t.noEntry())
			return
		}
		t.parts = append(t.parts, t.entry(e, number, at, sizes[i]))
		at += sizes[i]
	}
	slices.SortStableFunc(t.parts, func(a, b part) int { return cmp.Compare(a.Start, b.Start) })
}

func (t *target) entry(e layout.Partition, number int, start, size int64) part {
	made := e.Made()
	kind, name := typeOf(e.Use)
	if name == "" {
		name = tableName(made.Label)
	}
	if e.Use == layout.RAID || e.Use == layout.LVM {
		name = tableName(e.ID)
	}
	if t.table == layout.MBR {
		name = ""
	}
	return part{entry: &e, fate: Made, to: size, Partition: job.Partition{Number: number, Start: start, Size: size,
		Type: kind, Name: name, Filesystem: e.Outside(), Label: made.Label}}
}

// tableName is what of a label the name of a partition in a GPT can have, as it is read back later: 36 UTF-16 code
// units (UEFI 2.10 table 5.6), no control characters, no space at an end. Labels of btrfs are longer.
func tableName(label string) string {
	name, units := "", 0
	for _, r := range strings.TrimSpace(label) {
		if unicode.IsControl(r) || r == unicode.ReplacementChar {
			continue
		}
		if units += utf16.RuneLen(r); units > 36 {
			break
		}
		name += string(r)
	}
	return strings.TrimSpace(name)
}

// sizes are the sizes of what has to be made, in bytes.
func (t *target) sizes(made []layout.Partition, into area, where string) (out []int64, ok bool) {
	left, rest := into.size(), -1
	for i, e := range made {
		n := roundUp(e.Made().Size.Bytes)
		switch s := e.Made().Size; {
		case s.Rest:
			rest, n = i, 0
		case s.Percent > 0:
			n = max(mib, roundDown(t.bytes(s)))
		}
		if n > left {
			needs, has := apart(n, left)
			t.refusePart(e, "it needs %s, and %s has %s left", needs, where, has)
			return nil, false
		}
		left -= n
		out = append(out, n)
	}
	if rest >= 0 {
		out[rest] = left
	}
	for i, e := range made {
		if least := t.least(e); out[i] < least {
			gets, needs := apart(out[i], least)
			t.refusePart(e, "too small: it gets %s, and needs %s; %s has %s", gets, needs, where,
				job.Bytes(into.size()))
			return nil, false
		}
	}
	return out, true
}

// least is how many bytes the partition of an entry must have.
func (t *target) least(e layout.Partition) int64 {
	if e.LUKS != nil {
		e.LUKS = nil
		return header + t.least(e)
	}
	switch made := e.Made(); {
	case e.Use == layout.Pool:
		return max(roundUp(t.pool), 128*mib) // mkfs.btrfs makes nothing smaller than about 109 MiB
	case e.Use == layout.Root:
		return max(roundUp(t.pool), 300*mib)
	case e.Use == layout.Boot:
		return layout.MinBoot
	case e.Use == layout.Persistent:
		return 64 * mib // with a journal
	case made.Filesystem == "btrfs":
		return 128 * mib
	case made.Filesystem == "xfs":
		return 300 * mib // mkfs.xfs since 5.19
	case e.Use == layout.ESP && t.have.SectorSize == 4096:
		return 260 * mib // FAT32 has at least 65525 clusters
	case e.Use == layout.ESP:
		return 34 * mib
	case made.Filesystem == "ext4":
		return 16 * mib
	}
	return mib
}

// slots is how many entries the table of tomorrow has. Of a larger GPT than the usual one, 128 are used.
func (t *target) slots() int {
	switch {
	case t.table == layout.MBR:
		return 4
	case !t.fresh && t.have.Slots > 0:
		return min(t.have.Slots, 128)
	}
	return 128
}

// number is the next number of a partition, 0 if there is none.
func (t *target) number() int {
	for n := 1; n <= t.slots(); n++ {
		if !slices.ContainsFunc(t.parts, func(p part) bool { return p.Number == n }) {
			return n
		}
	}
	return 0
}

func (t *target) noEntry() string {
	if t.table == layout.MBR {
		return "an MBR has four, and logical partitions are not made so far"
	}
	return fmt.Sprintf("this GPT has %d that are used", t.slots())
}

// typeOf is the type of a partition by its use, and the name that Griddle gives it, "" for its label.
func typeOf(use string) (kind, name string) {
	switch use {
	case layout.ESP:
		return "EFI system", layout.NameESP
	case layout.BIOS:
		return "BIOS boot", layout.NameBIOS
	case layout.Pool:
		return "Linux filesystem", layout.NamePool
	case layout.Swap:
		return "Linux swap", ""
	case layout.RAID:
		return "Linux RAID", ""
	case layout.LVM:
		return "Linux LVM", ""
	}
	return "Linux filesystem", ""
}

// bootable notes what a person may not expect of the disk of the pool.
func (t *target) bootable() {
	has := func(f func(p part) bool) bool { return slices.ContainsFunc(t.parts, f) }
	if !has(func(p part) bool { return p.entry != nil && hasSystem(*p.entry) }) {
		return
	}
	if t.table == layout.GPT && !has(func(p part) bool { return p.Type == "BIOS boot" }) {
		t.note("it has no BIOS boot partition: the system starts by UEFI only")
	}
	t.shared()
	t.bootPartition()
	if has(func(p part) bool { return p.Filesystem == "BitLocker" && p.fate == Stays }) {
		t.note("Windows is encrypted by BitLocker, and may ask for its recovery key at its next start: have it ready")
	}
	if end := 1 << 32 * int64(t.have.SectorSize); t.table == layout.MBR && t.have.Size > end {
		t.note("an MBR reaches only the first %s of the disk", job.Bytes(end))
	}
}

func (t *target) note(format string, args ...any) {
	t.notes = append(t.notes, fmt.Sprintf("disk %s: %s", t.want.ID, fmt.Sprintf(format, args...)))
}
