package nvram

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// Restore brings a State back: its entries and their order. Entries that start file, and that the State has not, are
// deleted; all others that came since stay, behind. An entry that the firmware has under another number now is used
// under that. BootNext is left to the firmware.
//
// A power cut leaves the old order or the new one, and the next Restore completes it.
func (v *Vars) Restore(s State, file string) error {
	fail := func(err error) error { return fmt.Errorf("restoring the boot entries of the firmware: %w", err) }
	if err := s.check(); err != nil {
		return fail(err)
	}
	now, err := v.State()
	if err != nil {
		return fail(err)
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
	for _, want := range s.Entries {
		if _, ok := became[want.Number]; ok {
			continue
		}
		n := want.Number
		if now.has(n) {
			if n, err = now.unused(); err != nil {
				return fail(err)
			}
		}
		e := Entry{n, want.Attributes, want.Data}
		if err := v.setEntry(e); err != nil {
			return fail(err)
		}
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
	var order []uint16
	for _, n := range s.Order {
		if to, ok := became[n]; ok {
			n = to
		}
		order = append(order, n)
	}
	for _, n := range now.Order {
		if !slices.Contains(order, n) && !ours(n) {
			order = append(order, n)
		}
	}
	if err := v.setOrder(now.Order, order); err != nil {
		return fail(err)
	}
	for _, e := range now.Entries {
		if !ours(e.Number) {
			continue
		}
		if err := v.store.remove(name(e.Number)); err != nil {
			return fail(fmt.Errorf("deleting %s: %w", name(e.Number), err))
		}
	}
	return nil
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
