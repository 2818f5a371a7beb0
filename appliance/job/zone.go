package job

import "time"

// Zone is a time zone as a screen needs it: its clocks from a year ago to a year ahead, or longer. The boot image has
// no time zones of its own. Without a span, as from servers of before, it is UTC.
type Zone []Span

// Span is a time in which the clocks of a zone do not change.
type Span struct {
	Until  time.Time `json:"until,omitzero"` // exclusive; zero if no change is known
	Offset int       `json:"offset"`         // seconds east of UTC
	Short  string    `json:"short"`          // "CET", or "+03" where it has no abbreviation
}

// The limits of what At believes: the clocks of RFC 9636 section 3.2, and so many spans and characters.
const (
	mostOffset = 26 * 60 * 60
	mostSpans  = 32
	mostShort  = 8
)

// ZoneOf is the zone of now's location.
func ZoneOf(now time.Time) Zone {
	var z Zone
	end := now.AddDate(1, 0, 0)
	for t := now.AddDate(-1, 0, 0); len(z) < mostSpans; {
		short, offset := t.Zone()
		_, until := t.ZoneBounds()
		z = append(z, Span{Until: until.UTC(), Offset: offset, Short: short})
		if until.IsZero() {
			z[len(z)-1].Until = time.Time{}
		}
		if until.IsZero() || until.After(end) {
			break
		}
		t = until
	}
	return z
}

// At is t by the clocks of the zone. Its Zone has a name that can be shown.
func (z Zone) At(t time.Time) time.Time {
	for i, s := range z[:min(len(z), mostSpans)] {
		if !s.Until.IsZero() && !t.Before(s.Until) && i < len(z)-1 {
			continue
		}
		short := Printable(s.Short)
		if short == "" || len(short) > mostShort || s.Offset < -mostOffset || s.Offset > mostOffset {
			break
		}
		if short[0] == '+' || short[0] == '-' {
			short = "UTC" + short
		}
		return t.In(time.FixedZone(short, s.Offset))
	}
	return t.UTC()
}
