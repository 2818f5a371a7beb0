package cloud

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

// repeater repeats what fails for now.
type repeater struct {
	limit  time.Duration // for a call with all its repetitions
	jitter func() float64
	log    *slog.Logger

	first bool                          // nothing has answered so far: what cannot be reached is not asked for long
	tell  func(format string, a ...any) // tells a person what is waited for; may be nil
}

// firstTries is how often a provider that cannot be reached, and never was, is asked: with provider.DialTimeout for
// each and the pauses between them that is less than a minute.
const firstTries = 3

// do calls f until its error is none that passes (provider.ErrTemporary), or limit is over. Pauses are drawn from the
// upper half of what the number of tries allows, so that many do not come back at once, and are never shorter than
// the provider asks for.
func (r repeater) do(ctx context.Context, what string, f func(context.Context) error) error {
	within, stop := context.WithTimeout(ctx, r.limit)
	defer stop()
	for try := 1; ; try++ {
		begin := time.Now()
		err := f(within)
		if err == nil {
			r.log.Info("done", "what", what, "took", time.Since(begin).Round(time.Millisecond))
			return nil
		}
		r.log.Warn("failed", "what", what, "try", try, "err", err)
		if ctx.Err() != nil {
			return fmt.Errorf("%s: %w", what, context.Cause(ctx))
		}
		if within.Err() != nil {
			return fmt.Errorf("%s: %w: %w", what, late(r.limit), err)
		}
		if !errors.Is(err, provider.ErrTemporary) {
			return err // it says what was asked: see provider.Provider
		}
		unreached := errors.Is(err, provider.ErrUnreachable)
		if unreached && r.first && try == firstTries {
			return fmt.Errorf("%s: tried %d times: %w", what, try, err)
		}
		if unreached && r.tell != nil && (try == 1 || try%5 == 0) {
			r.tell("%v; it is tried again", err)
		}
		wait := pause(try, r.jitter)
		var asked *provider.Retry
		if errors.As(err, &asked) {
			wait = max(wait, asked.After)
		}
		if end, _ := within.Deadline(); time.Now().Add(wait).After(end) {
			return fmt.Errorf("%s: tried %d times within %v: %w", what, try, r.limit, err)
		}
		if err := sleep(ctx, wait); err != nil {
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

// late is an ErrLate that says how long was waited.
func late(d time.Duration) error { return fmt.Errorf("not within %v: %w", d, ErrLate) }

// sleep waits, or returns why ctx ended.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
