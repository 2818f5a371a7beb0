package nvram

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// Difference is what Restore changes.
type Difference struct {
	// Missing are entries of the State that the firmware does not have: under their numbers, or other free ones.
	Missing []Entry
	// Deleted are entries that the State does not have, and that start the given file.
	Deleted []Entry
	// Before and After are the order of now and the one that Restore sets.
	Before, After []uint16
	// Found is how many entries of the State the firmware has: a machine that has none of them is another one, or lost
	// its settings.
	Found int
}

// Lines say in words what is changed, a line each; none where nothing is.
func (d Difference) Lines() (out []string) {
	for _, e := range d.Missing {
		out = append(out, "the boot entry "+e.String()+" comes back")
	}
	if !slices.Equal(d.Before, d.After) {
		out = append(out, fmt.Sprintf("the boot order becomes %s, and was %s", numbers(d.After), numbers(d.Before)))
	}
	for _, e := range d.Deleted {
		out = append(out, "the boot entry "+e.String()+" is deleted")
	}
	return out
}

// String is an entry as people see it.
func (e Entry) String() string {
	o, err := ParseOption(e.Data)
	if err != nil || o.Description == "" {
		return name(e.Number)
	}
	return fmt.Sprintf("%s %q", name(e.Number), o.Description)
}

// Files says whether an entry of the State starts a file of a disk other than the given one.
func (s State) Files(but string) bool {
	return slices.ContainsFunc(s.Entries, func(e Entry) bool {
		_, file := starts(e.Data)
		return file != "" && !strings.EqualFold(file, firmwarePath(but))
	})
}

// Compare says what Restore would change, and changes nothing.
func (v *Vars) Compare(s State, file string) (Difference, error) {
	d, err := v.compare(s, file)
	if err != nil {
		return Difference{}, fmt.Errorf("comparing the boot entries of the firmware: %w", err)
	}
	return d, nil
}

// Restore brings a State back: its entries and their order. Entries that start file, and that the State has not, are
// deleted; all others that came since stay, behind. An entry that the firmware has under another number now is used
// under that. BootNext is left to the firmware.
//
// A power cut leaves the old order or the new one, and the next Restore completes it.
func (v *Vars) Restore(s State, file string) error {
	fail := func(err error) error { return fmt.Errorf("restoring the boot entries of the firmware: %w", err) }
	d, err := v.compare(s, file)
	if err != nil {
		return fail(err)
	}
	for _, e := range d.Missing {
		if err := v.setEntry(e); err != nil {
			return fail(err)
		}
	}
	if err := v.setOrder(d.Before, d.After); err != nil {
		return fail(err)
	}
	for _, e := range d.Deleted {
		if err := v.store.remove(name(e.Number)); err != nil {
			return fail(fmt.Errorf("deleting %s: %w", name(e.Number), err))
		}
	}
	return nil
}

func (v *Vars) compare(s State, file string) (d Difference, err error) {
	if err := s.check(); err != nil {
		return d, err
	}
	now, err := v.State()
	if err != nil {
		return d, err
	}
	became := map[uint16]uint16{} // the number of an entry of s today
	used := map[uint16]bool{}
	for _, exact := range []bool{true, false} {
		for _, want := range s.Entries {
			for _, e := range now.Entries {
				_, done := became[want.Number]
				if !done && !used[e.Number] && bytes.Equal(e.Data, want.Data) && (!exact || e.Number == want.Number) {
					became[want.Number], used[e.Number] = e.Number, true
				}
			}
		}
	}
	d.Found = len(became)
	for _, want := range s.Entries {
		if _, ok := became[want.Number]; ok {
			continue
		}
		n := want.Number
		if now.has(n) {
			if n, err = now.unused(); err != nil {
				return d, err
			}
		}
		e := Entry{n, want.Attributes, want.Data}
		d.Missing = append(d.Missing, e)
		now.Entries = append(now.Entries, e)
		became[want.Number], used[n] = n, true
	}
	ours := func(n uint16) bool {
		e := now.entry(n)
		if e == nil || used[n] {
			return false
		}
		_, starts := starts(e.Data)
		return strings.EqualFold(starts, firmwarePath(file))
	}
	for _, n := range s.Order {
		if to, ok := became[n]; ok {
			n = to
		}
		d.After = append(d.After, n)
	}
	for _, n := range now.Order {
		if !slices.Contains(d.After, n) && !ours(n) {
			d.After = append(d.After, n)
		}
	}
	d.Before = now.Order
	for _, e := range now.Entries {
		if ours(e.Number) {
			d.Deleted = append(d.Deleted, e)
		}
	}
	return d, nil
}

// check refuses a State that no firmware had.
func (s State) check() error {
	if len(s.Entries) > maxEntries || len(s.Order) > 1<<16 {
		return fmt.Errorf("what was kept has %d entries and an order of %d, which is too much", len(s.Entries),
			len(s.Order))
	}
	seen := map[uint16]bool{}
	for _, e := range s.Entries {
		if seen[e.Number] || len(e.Data) > maxValue || e.Attributes&^(attributes|0x8) != 0 {
			return fmt.Errorf("what was kept of the entry %s is damaged", name(e.Number))
		}
		seen[e.Number] = true
	}
	return nil
}
