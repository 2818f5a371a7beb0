package multicast

import (
	"context"
	"sync"
	"time"
)

const (
	// DefaultRate is a Budget's rate if none is given: what a 100 Mbit/s port takes beside other traffic.
	DefaultRate = 10_000_000
	// MinRate is the lowest rate, so that a session always ends, whatever operators or receivers do to its rate.
	MinRate = 16 << 10
	// catchUp is how much time a busy machine may catch up on.
	catchUp = 50 * time.Millisecond
)

// Budget is the rate that all senders of one interface share, in payload bytes a second. Senders take turns, a batch
// each. Its methods may be called from any number of goroutines.
type Budget struct {
	turn chan struct{} // full while a sender waits for bytes; the others get their turn in order

	mu    sync.Mutex
	rate  int64
	due   time.Time // when all that was granted is paid for
	early time.Time // before which nothing is granted, however late the sender is
}

// NewBudget makes a budget of rate payload bytes a second, at least MinRate; zero means DefaultRate.
func NewBudget(rate int64) *Budget {
	b := &Budget{turn: make(chan struct{}, 1)}
	b.SetRate(rate)
	return b
}

// SetRate changes the rate from the next batch on. It takes what NewBudget takes.
func (b *Budget) SetRate(rate int64) {
	if rate <= 0 {
		rate = DefaultRate
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rate = max(rate, MinRate)
}

// Rate returns the rate, in payload bytes a second.
func (b *Budget) Rate() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.rate
}

// grant grants n bytes now and returns zero, or returns how long to wait before the next call. Lost time is caught up
// on at twice the rate: all at once would be a burst that a switch drops.
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
