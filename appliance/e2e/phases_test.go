package e2e

import (
	"testing"
	"time"

	"griddle/appliance/fleet"
	"griddle/appliance/job"
)

// A phase lasts until the next one begins, and what the server writes counts for nothing.
func TestPhases(t *testing.T) {
	begun := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	at := func(seconds int, boot string, p job.Phase) fleet.Entry {
		now := begun.Add(time.Duration(seconds) * time.Second)
		return fleet.Entry{Boot: boot, Event: job.Event{Time: now, Phase: p}}
	}
	for _, test := range []struct {
		name string
		all  []fleet.Entry
		want string
	}{
		{"none", nil, ""},
		{"of the server", []fleet.Entry{at(0, "", job.PhaseCheck)}, ""},
		{"one", []fleet.Entry{at(0, "a", job.PhaseCheck), at(2, "a", job.PhaseCheck)}, "check 2.0 s"},
		{"three", []fleet.Entry{at(0, "a", job.PhaseCheck), at(1, "a", job.PhaseCheck), at(5, "a", job.PhaseReceive),
			at(6, "", job.PhaseFinish), at(30, "a", job.PhaseReceive), at(31, "a", job.PhaseVerify),
			at(40, "a", job.PhaseVerify)}, "check 5.0 s, receive 26.0 s, verify 9.0 s"},
		{"no phase between", []fleet.Entry{at(0, "a", job.PhaseCheck), at(3, "a", ""), at(7, "a", job.PhaseVerify)},
			"check 3.0 s, verify 0.0 s"},
	} {
		if got := PhaseLine(Phases(test.all)); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}
