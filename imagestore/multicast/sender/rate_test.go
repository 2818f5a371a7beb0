package sender

import (
	"testing"
	"time"
)

// paced feeds an adaptation ten samples a second, of a network that loses what got says of the rate, and returns the
// rate after each second.
func paced(a *rateControl, from time.Duration, seconds int, got func(rate float64) float64) (rates []float64) {
	for i := range seconds * 10 {
		now := from + time.Duration(i)*100*time.Millisecond
		rate := a.rate
		if rate == 0 {
			rate = a.ceiling
		}
		d := got(rate)
		a.update(now, sample{ok: true, loss: 1 - d/rate, delivered: d, sent: rate})
		if i%10 == 9 {
			rates = append(rates, a.rate)
		}
	}
	return rates
}

func TestRateFollowsTheMedian(t *testing.T) {
	const ceiling = 10e6
	whole := func(r float64) float64 { return r }
	for _, c := range []struct {
		name   string
		first  func(float64) float64
		second func(float64) float64
		within int // seconds of the second
		want   float64
	}{
		{"a network that was gone: the rate had no part in it", func(float64) float64 { return 0 }, whole, 2, ceiling},
		{"a bad cable: a lower rate does not help", func(r float64) float64 { return 0.8 * r },
			func(r float64) float64 { return 0.8 * r }, 1, ceiling},
		{"a link of half the rate", whole, func(r float64) float64 { return min(r, ceiling/2) }, 3, 0.45 * ceiling},
		{"a link that is free again", func(r float64) float64 { return min(r, ceiling/2) }, whole, 20, 0.9 * ceiling},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := &rateControl{ceiling: ceiling}
			paced(a, 0, 10, c.first)
			rates := paced(a, 10*time.Second, c.within, c.second)
			if got := rates[len(rates)-1]; got < c.want || got > ceiling {
				t.Errorf("after %d s: %.0f, want at least %.0f: %.0f", c.within, got, c.want, rates)
			}
		})
	}
}
