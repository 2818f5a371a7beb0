package multicast

import (
	"context"
	"sync"
	"time"
)

const (
	// DefaultRate is a Budget's where nothing was said: what a 100 Mbit/s port takes, beside other traffic.
	DefaultRate = 10_000_000
	// MinRate keeps a session ending, whatever an operator or a crowd of unhappy receivers makes of its rate.
	MinRate = 16 << 10
	// catchUp is how much of the time that a busy machine lost is made good.
	catchUp = 50 * time.Millisecond
)

// Budget is what all senders of one interface may send together, in payload bytes a second. Senders take turns, a batch each. Its
// methods may be called from any number of goroutines.
type Budget struct {
	turn chan struct{} // full while somebody waits for bytes; who waits to put into it is served in order

	mu    sync.Mutex
	rate  int64
	due   time.Time // when all that was granted is paid for
	early time.Time // before which nothing is granted, however much is to be caught up on
}

// NewBudget makes one of rate payload bytes a second, at least 16 KiB/s; zero means DefaultRate.
func NewBudget(rate int64) *Budget {
	b := &Budget{turn: make(chan struct{}, 1)}
	b.SetRate(rate)
	return b
}

// SetRate changes the rate, as NewBudget takes it, from the next batch on.
func (b *Budget) SetRate(rate int64) {
	if rate <= 0 {
		rate = DefaultRate
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rate = max(rate, MinRate)
}

// Rate is the rate, in payload bytes a second.
func (b *Budget) Rate() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.rate
}

// grant grants n bytes now and returns zero, or says how long to wait before it is asked again. Time that was lost is made good
// at twice the rate: all at once it would be a burst that a switch drops.
func (b *Budget) grant(now time.Time, n int) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if at := now.Add(-catchUp); b.due.Before(at) {
		b.due = at
	}
	at := b.due
	if b.early.After(at) {
		at = b.early
	}
	if wait := at.Sub(now); wait > 0 {
		return wait
	}
	cost := time.Duration(float64(n) / float64(b.rate) * float64(time.Second))
	b.due = b.due.Add(cost)
	b.early = now.Add(cost / 2)
	return 0
}

// GiveBack returns n bytes that were granted and not used.
func (b *Budget) GiveBack(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.due = b.due.Add(-time.Duration(float64(n) / float64(b.rate) * float64(time.Second)))
}

// Take waits for its turn and for n bytes. It fails only when ctx ends.
func (b *Budget) Take(ctx context.Context, n int) error {
	select {
	case b.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-b.turn }()
	for {
		wait := b.grant(time.Now(), n)
		if wait == 0 {
			return nil
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}
