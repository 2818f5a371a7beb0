package catalog

import (
	"testing"
	"time"
)

func TestParseDays(t *testing.T) {
	for in, want := range map[string]time.Duration{"90d": 90 * 24 * time.Hour, "0": 0, "0d": 0, "36h": 36 * time.Hour,
		"106751d": 106751 * 24 * time.Hour} {
		if got, err := parseDays(in); err != nil || got != want {
			t.Errorf("parseDays(%q) = %s, %v, want %s", in, got, err, want)
		}
	}
	for _, in := range []string{"", "d", "-1d", "-1h", "90", "1.5d", "106752d", "99999999999999999999d", "a year"} {
		if got, err := parseDays(in); err == nil {
			t.Errorf("parseDays(%q) = %s, want an error", in, got)
		}
	}
}
