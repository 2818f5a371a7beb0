package layout

import (
	"fmt"
	"strings"
)

// Bounds of a document.
const (
	MaxDisks      = 16
	MaxPartitions = 64 // of one disk
	MaxText       = 128
)

// checker collects the mistakes of a document.
type checker struct {
	all    Mistakes
	ids    map[string]string // to the place of the first
	mounts map[string]string
}

func (c *checker) wrong(place, hint, format string, args ...any) {
	c.all = append(c.all, Mistake{place, fmt.Sprintf(format, args...), hint})
}

// Check finds all mistakes that can be found without a disk, in the order of the document.
func (d Document) Check() Mistakes {
	c := checker{ids: map[string]string{}, mounts: map[string]string{}}
	if d.Version != Version {
		c.wrong("version", "", "this program knows version %d", Version)
	}
	if n := len(d.Disks); n == 0 || n > MaxDisks {
		c.wrong("disks", "", "%d disks are not between 1 and %d", n, MaxDisks)
		return c.all
	}
	for i, disk := range d.Disks {
		at := fmt.Sprintf("disks[%d]", i)
		c.disk(at, disk)
		if disk.has(Pool) > 0 && disk.has(ESP) == 0 {
			c.wrong(at+".partitions", "add {id: esp, use: esp}", "the disk of the pool has no esp, where GRUB has "+
				"its configuration")
		}
	}
	if d.hasAny(Root, Persistent) {
		c.roots(d)
	} else {
		c.pools(d)
	}
	c.boots(d)
	c.volumes(d)
	return c.all
}

// has is how many partitions of the disk have a use.
func (d Disk) has(use string) (n int) {
	for _, p := range d.Partitions {
		if p.Use == use {
			n++
		}
	}
	return n
}

func (c *checker) disk(at string, d Disk) {
	c.id(at+".id", d.ID)
	c.match(at+".match", d.Match)
	if d.Table != "" && d.Table != GPT && d.Table != MBR {
		c.wrong(at+".table", "", "%q is not gpt or mbr", short(d.Table))
	}
	if d.Wipe && d.Blank {
		c.wrong(at+".blank", "leave out one of them", "a disk that is blank has nothing to wipe")
	}
	if n := len(d.Partitions); n == 0 || n > MaxPartitions {
		c.wrong(at+".partitions", "", "%d partitions are not between 1 and %d", n, MaxPartitions)
		return
	}
	rest, share, shrinks := 0, 0, 0
	for i, p := range d.Partitions {
		at := fmt.Sprintf("%s.partitions[%d]", at, i)
		c.partition(at, p)
		if d.Wipe || d.Blank {
			c.onNew(at, p)
		}
		if p.Use == BIOS && d.Table == MBR {
			c.wrong(at+".use", "leave the partition out", "a disk with an MBR has no BIOS boot partition")
		}
		if p.Size.Rest {
			if rest++; rest == 2 {
				c.wrong(at+".size", "", "another partition of the disk has the rest")
			}
		}
		if share += p.Size.Percent; share > 100 && share-p.Size.Percent <= 100 {
			c.wrong(at+".size", "", "the sizes up to here are more than 100%% of the disk")
		}
		if p.Shrink != nil {
			if shrinks++; shrinks == 2 {
				c.wrong(at+".shrink", "shrink the other one by another layout first", "only one partition of a disk "+
					"can be shrunk at a time")
			}
		}
	}
}

// onNew finds what a partition of a new table cannot have.
func (c *checker) onNew(at string, p Partition) {
	for _, k := range []struct {
		key   string
		given bool
	}{{"match", p.Match != nil}, {"keep", p.Keep}, {"wipe", p.Wipe}, {"shrink", p.Shrink != nil}} {
		if k.given {
			c.wrong(at+"."+k.key, "leave it out, or leave out wipe or blank of the disk",
				"the disk is wiped or blank, and no partition is on it")
		}
	}
}

// id checks a name of the document, which is used once.
func (c *checker) id(at, id string) {
	ok := len(id) >= 1 && len(id) <= 32 && id[0] >= 'a' && id[0] <= 'z'
	for _, r := range id {
		ok = ok && (r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-')
	}
	switch first, twice := c.ids[id]; {
	case !ok:
		c.wrong(at, "", "%q is not a name: a to z, 0 to 9 and hyphens, a letter first, at most 32", short(id))
	case twice:
		c.wrong(at, "", "%q is the name of %s too", id, strings.TrimSuffix(first, ".id"))
	default:
		c.ids[id] = at
	}
}

func (c *checker) match(at string, m Match) {
	if m == (Match{}) {
		c.wrong(at, "write match: {size: largest} for the largest disk", "it does not say which disk is meant")
	}
	m.Check(func(key, hint, what string) { c.wrong(at+"."+key, hint, "%s", what) })
}

// pattern checks a pattern, which must name something, as those of a Match.
func (c *checker) pattern(at, text string) {
	if text != "" && strings.Trim(text, "*?") == "" {
		c.wrong(at, "leave it out, or write a part of the name", "%q fits everything", short(text))
	}
	c.text(at, text)
}

func (c *checker) text(at, text string) {
	if len(text) > MaxText || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		c.wrong(at, "", "it has more than %d bytes, or control characters", MaxText)
	}
}

func (c *checker) mount(at string, p Partition) {
	m := p.Made().Mount
	switch {
	case m == "":
		return
	case p.Use != Data && p.Use != Home:
		c.wrong(at, "", "only partitions with use: data or home are mounted")
	case CheckMount(m) != nil:
		c.wrong(at, "", "%v", CheckMount(m))
	case c.mounts[m] != "":
		c.wrong(at, "", "%s is mounted at %q too", c.mounts[m], m)
	default:
		c.mounts[m] = p.ID
	}
}

// short is text of a document in an error.
func short(s string) string {
	if r := []rune(s); len(r) > 60 {
		return string(r[:60]) + "…"
	}
	return s
}
