// Package retry repeats calls of a provider that fail for now, and waits until its resources are as wanted.
//
// Call Policy.Do for each call, and Watch.Until to wait for a resource. Pauses grow from half a second to half a
// minute, are drawn at random, and are never shorter than the provider asks for; nothing is repeated beyond
// Policy.Limit or the end of the context. A Watch may be used by several goroutines: they share its requests.
package retry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"griddle/cloud/provider"
)

// How calls of the provider are repeated: after half a second, then twice as long each time, up to half a minute.
const (
	firstPause = 500 * time.Millisecond
	longest    = 30 * time.Second
)

// Policy says how long and how calls are repeated.
type Policy struct {
	Limit  time.Duration  // for a call with all its repetitions
	Jitter func() float64 // in [0, 1), spreads the pauses; nil for math/rand's
	Log    *slog.Logger

	First bool                          // the provider has not answered so far: give up early if it cannot be reached
	Tell  func(format string, a ...any) // called with what is waited for; may be nil
}

// firstTries is how often a provider that cannot be reached, and never was, is asked: with provider.DialTimeout for
// each and the pauses between them that is less than a minute.
const firstTries = 3

// Do calls f until its error is not one that passes (provider.ErrTemporary), or limit is over. Pauses are drawn from
// the upper half of what the number of tries allows, so that many do not come back at once, and are never shorter than
// the provider asks for.
func (r Policy) Do(ctx context.Context, what string, f func(context.Context) error) error {
	within, stop := context.WithTimeout(ctx, r.Limit)
	defer stop()
	for try := 1; ; try++ {
		begin := time.Now()
		err := f(within)
		if err == nil {
			r.Log.Info("done", "what", what, "took", time.Since(begin).Round(time.Millisecond))
			return nil
		}
		r.Log.Warn("failed", "what", what, "try", try, "err", err)
		if ctx.Err() != nil {
			return fmt.Errorf("%s: %w", what, context.Cause(ctx))
		}
		if within.Err() != nil {
			return fmt.Errorf("%s: %w: %w", what, Late(r.Limit), err)
		}
		if !errors.Is(err, provider.ErrTemporary) {
			return err // it says what was asked: see provider.Provider
		}
		unreached := errors.Is(err, provider.ErrUnreachable)
		if unreached && r.First && try == firstTries {
			return fmt.Errorf("%s: tried %d times: %w", what, try, err)
		}
		if unreached && r.Tell != nil && (try == 1 || try%5 == 0) {
			r.Tell("%v; it is tried again", err)
		}
		wait := pause(try, r.Jitter)
		var asked *provider.Retry
		if errors.As(err, &asked) {
			wait = max(wait, asked.After)
		}
		if end, _ := within.Deadline(); time.Now().Add(wait).After(end) {
			return fmt.Errorf("%s: tried %d times within %v: %w", what, try, r.Limit, err)
		}
		if err := Sleep(ctx, wait); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
}

// pause is how long to wait after so many tries.
func pause(try int, jitter func() float64) time.Duration {
	if jitter == nil {
		jitter = rand.Float64
	}
	most := longest
	if try < 8 {
		most = min(most, firstPause<<(try-1))
	}
	return most/2 + time.Duration(jitter()*float64(most/2))
}

// ErrLate says that something took longer than the stack's settings allow.
var ErrLate = errors.New("it took too long")

// Late is an ErrLate that says how long was waited.
func Late(d time.Duration) error { return fmt.Errorf("not within %v: %w", d, ErrLate) }

// Sleep waits for d, or returns why ctx ended.
func Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
