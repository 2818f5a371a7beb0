package e2e

import (
	"fmt"
	"strings"
	"time"

	"griddle/appliance/fleet"
	"griddle/appliance/job"
)

// Spent is how long a machine was in a phase of a job.
type Spent struct {
	Phase job.Phase
	Time  time.Duration
}

// Phases says how long each phase of a job took, by the clock of the machine that wrote these entries. A phase ends
// where the next one begins.
func Phases(all []fleet.Entry) (out []Spent) {
	var begun, last time.Time
	for _, e := range all {
		if e.Boot == "" {
			continue
		}
		if n := len(out); n == 0 || out[n-1].Phase != e.Event.Phase {
			if n > 0 {
				out[n-1].Time = e.Event.Time.Sub(begun)
			}
			out, begun = append(out, Spent{Phase: e.Event.Phase}), e.Event.Time
		}
		last = e.Event.Time
	}
	if n := len(out); n > 0 {
		out[n-1].Time = last.Sub(begun)
	}
	return out
}

// PhaseLine is one line for people: "check 1.2 s, receive 60.1 s".
func PhaseLine(all []Spent) string {
	var parts []string
	for _, s := range all {
		if s.Phase != "" {
			parts = append(parts, fmt.Sprintf("%s %s", s.Phase, seconds(s.Time)))
		}
	}
	return strings.Join(parts, ", ")
}
