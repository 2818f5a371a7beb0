package retry

import (
	"slices"
	"testing"
	"time"
)

// TestPauses draws them; they grow, and stay below the longest.
func TestPauses(t *testing.T) {
	var got []time.Duration
	for try := range 10 {
		got = append(got, pause(try+1, func() float64 { return 0.5 }))
	}
	s := time.Second
	want := []time.Duration{375 * time.Millisecond, 750 * time.Millisecond, 1500 * time.Millisecond, 3 * s, 6 * s,
		12 * s, 22500 * time.Millisecond, 22500 * time.Millisecond, 22500 * time.Millisecond, 22500 * time.Millisecond}
	if !slices.Equal(got, want) {
		t.Errorf("pauses are %v, want %v", got, want)
	}
	for try := range 2000 {
		if p := pause(try+1, nil); p < firstPause/2 || p > longest {
			t.Errorf("pause(%d) = %v", try+1, p)
		}
	}
}
