package multicast

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestBudgetGrants(t *testing.T) {
	start := time.Unix(1000, 0)
	b := NewBudget(1_000_000)
	b.due = start
	for _, step := range []struct {
		at   time.Duration
		n    int
		want time.Duration // 0: granted
	}{
		{0, 10_000, 0},
		{0, 10_000, 10 * time.Millisecond}, // the first ones are paid for at 10 ms
		{10 * time.Millisecond, 10_000, 0},
		{25 * time.Millisecond, 10_000, 0},                // 5 ms late
		{29 * time.Millisecond, 10_000, time.Millisecond}, // and on time again
		{10 * time.Second, 20_000, 0},                     // idle: 50 ms of it count,
		{10 * time.Second, 20_000, 10 * time.Millisecond}, // at twice the rate
		{10*time.Second + 10*time.Millisecond, 20_000, 0}, // 20 ms are owed still
		{10*time.Second + 20*time.Millisecond, 20_000, 0}, // 10
		{10*time.Second + 30*time.Millisecond, 20_000, 0}, // 0
		{10*time.Second + 40*time.Millisecond, 20_000, 0}, // nothing is owed any more:
		{10*time.Second + 50*time.Millisecond, 20_000, 0},
		{10*time.Second + 51*time.Millisecond, 20_000, 19 * time.Millisecond},
	} {
		if got := b.grant(start.Add(step.at), step.n); got != step.want {
			t.Errorf("at %v, %d bytes: wait %v, want %v", step.at, step.n, got, step.want)
		}
	}
}

// Two sessions on one interface get half each, however the one that came first hurries, and together no more than the
// rate.
func TestBudgetIsFair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(1_000_000)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		var wg sync.WaitGroup
		var got [3]int
		for i := range got {
			wg.Go(func() {
				for b.Take(ctx, 10_000) == nil {
					got[i] += 10_000
				}
			})
		}
		wg.Wait()
		sum := 0
		for i, n := range got {
			sum += n
			if n < 3_300_000 || n > 3_400_000 {
				t.Errorf("session %d sent %d bytes in 10 s, want a third of 10,000,000", i, n)
			}
		}
		if sum < 9_980_000 || sum > 10_100_000 {
			t.Errorf("%d bytes in 10 s at 1,000,000 a second", sum)
		}
	})
}

func TestBudgetRate(t *testing.T) {
	b := NewBudget(0)
	if got := b.Rate(); got != DefaultRate {
		t.Errorf("the rate is %d, want %d", got, DefaultRate)
	}
	b.SetRate(1)
	if got := b.Rate(); got != MinRate {
		t.Errorf("the rate is %d, want %d", got, MinRate)
	}
	b.grant(time.Now(), 1<<20)
	b.GiveBack(1 << 20)
	if got := b.grant(time.Now().Add(time.Minute), 1); got != 0 {
		t.Errorf("what was given back is waited for: %v", got)
	}
}
