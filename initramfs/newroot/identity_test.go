package newroot

import (
	"strings"
	"testing"

	"griddle/appliance/job"
)

func TestHostname(t *testing.T) {
	macs := []string{"52:54:00:12:34:56"}
	for _, c := range []struct {
		serial string
		macs   []string
		want   string
	}{
		{"ABC-123", macs, "abc-123"},
		{"  5CD 1234/X  ", macs, "5cd-1234-x"},
		{"0012345", macs, "sn0012345"},
		{"", macs, "m525400123456"},
		{"To Be Filled By O.E.M.", macs, "m525400123456"},
		{"0000-0000", macs, "m525400123456"},
		{"\x1b[2J", macs, "2j"},
		{strings.Repeat("a", 100), macs, strings.Repeat("a", 60)},
		{"", nil, "griddle"},
		{"---", []string{"x"}, "griddle"},
	} {
		if got := Hostname(job.Identity{Serial: c.serial, MACs: c.macs}); got != c.want {
			t.Errorf("Hostname(%q, %v) = %q, want %q", c.serial, c.macs, got, c.want)
		}
	}
}
