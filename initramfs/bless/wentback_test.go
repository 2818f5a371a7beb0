package bless_test

import (
	"slices"
	"testing"

	"griddle/initramfs/bless"
	"griddle/initramfs/pool/history"
)

// A person who goes back during the trial decided: the root on trial is not blessed. It is where the good root, its
// kernel or grubenv was lost meanwhile.
func TestWentBack(t *testing.T) {
	for _, c := range []struct {
		good   string
		kernel bool
		calls  []string
		event  history.Event
	}{
		{"one", true, nil, history.Event{Kind: history.RolledBack, Root: "one"}},
		{"one", false, []string{"bless two"}, blessed("2")},
		{"gone", true, []string{"bless two"}, blessed("2")},
		{"", true, []string{"bless two"}, blessed("2")},
		{"two", true, []string{"bless two"}, blessed("2")}, // it was blessed, and its unit started again
	} {
		p := newPool(t, "two")
		o := p.options(t, true)
		p.all.Good, p.all.Candidate, p.all.Roots[0].Kernel = c.good, "", c.kernel
		for range 2 { // the second one finds all done
			if err := bless.Bless(t.Context(), o); err != nil {
				t.Fatal(err)
			}
		}
		if !slices.Equal(slices.Compact(p.calls), c.calls) {
			t.Errorf("for %+v the pool was changed by %q", c, p.calls)
		}
		same(t, p.events(t), []history.Event{c.event})
	}
}
