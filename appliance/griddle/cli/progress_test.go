package cli

import (
	"strings"
	"testing"
	"time"
)

// TestRateIsNotNegative begins a progress again, as a copy does whose source changed.
func TestRateIsNotNegative(t *testing.T) {
	at := time.Unix(1e9, 0)
	m := meter{what: "copying", samples: []sample{{at, 0}}}
	for i, done := range []int64{1 << 30, 3 << 30, 0, 10, 1 << 20, 5, 6} {
		m.add(at.Add(time.Duration(i+1)*time.Second), done, 4<<30)
		if r := m.rate(); r < 0 || strings.Contains(m.words()+m.bar(), "-1") || strings.Contains(m.words(), "/s, -") {
			t.Errorf("after %d bytes the rate is %f: %s", done, r, m.words())
		}
	}
}
