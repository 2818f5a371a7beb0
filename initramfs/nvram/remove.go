package nvram

import (
	"bytes"
	"fmt"
	"slices"
)

// Remove deletes the entries that start a program from its partition by one of these titles, and returns them. Others
// are entries for the same partition that stay: they have another file, or a title that someone else gave them. The
// order of all others stays.
//
// The firmware has written it when Remove returns. A power cut leaves the old order or the new one, which does not name
// the entries; then they may still be there, and Remove can be called again.
func (v *Vars) Remove(l Loader, titles ...string) (removed, others []Entry, err error) {
	fail := func(err error) ([]Entry, []Entry, error) {
		return nil, nil, fmt.Errorf("deleting %s from the boot entries of the firmware: %w", l.Title, err)
	}
	o, err := l.option()
	if err != nil {
		return fail(err)
	}
	s, err := v.State()
	if err != nil {
		return fail(err)
	}
	want, _ := starts(o.bytes())
	for _, e := range s.Entries {
		has, err := ParseOption(e.Data)
		partition, _ := starts(e.Data)
		switch {
		case err != nil || partition == nil || !bytes.Equal(partition, want):
		case e.is(o) && slices.Contains(titles, has.Description):
			removed = append(removed, e)
		default:
			others = append(others, e)
		}
	}
	order := slices.DeleteFunc(slices.Clone(s.Order), func(n uint16) bool {
		return slices.ContainsFunc(removed, func(e Entry) bool { return e.Number == n })
	})
	if err := v.setOrder(s.Order, order); err != nil {
		return fail(err)
	}
	for _, e := range removed {
		if err := v.store.remove(name(e.Number)); err != nil {
			return fail(fmt.Errorf("deleting %s: %w", e, err))
		}
	}
	return removed, others, nil
}
