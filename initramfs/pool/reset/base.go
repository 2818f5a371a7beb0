package reset

import (
	"context"
	"errors"
	"time"

	"griddle/initramfs/pool"
)

// Options are what Base needs of the machine.
type Options struct {
	Pool    func() (*pool.Pool, error)                 // opens it
	Restart func(context.Context) error                // restarts the machine
	Say     func(format string, args ...any)           // shows a line to the person at the machine
	Wait    func(ctx context.Context, d time.Duration) // sleeps
}

// Pauses of Base: after an error, and before a restart that may lead here again.
const (
	retry = 30 * time.Second
	stuck = time.Minute
)

// soon is how young a fresh root is that was made in the start before.
const soon = 2 * time.Minute

// Base is what a base does instead of its system: it makes fresh roots, and restarts the machine to start one. Of the
// good base it makes two. Of another one, to which someone goes back or which the boot loader took because the good
// one does not start, it makes one, which is on trial then. It tries until that succeeds or ctx ends, and says so.
func Base(ctx context.Context, o Options) error {
	o.Say("This machine has no fresh system left to start. It makes some now, and restarts.")
	for {
		untaken, err := o.base(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil {
			if untaken {
				o.Say("GRUB did not start the fresh systems of a moment ago: it may be unable to write to the EFI "+
					"system partition. The machine restarts in %v.", stuck)
				o.Wait(ctx, stuck)
			}
			o.Say("The fresh systems are ready. The machine restarts.")
			if err = o.Restart(ctx); err == nil {
				return nil
			}
		}
		o.Say("That failed: %v. The machine tries it again in %v.", err, retry)
		o.Wait(ctx, retry)
	}
}

// base makes the roots. untaken says that there were some a moment ago, which GRUB did not start.
func (o Options) base(ctx context.Context) (untaken bool, err error) {
	p, err := o.Pool()
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	w, err := begun(ctx, p)
	if err != nil {
		return false, err
	}
	defer w.lock.Close()
	last := w.all.Latest(w.base)
	untaken = last != nil && (last.Ready || time.Since(last.Created).Abs() < soon)
	if good, err := w.all.Root(w.all.Good); w.base != w.all.Good && err == nil && good.Kernel {
		if _, err := w.make(w.base); err != nil {
			return untaken, err
		}
		return untaken, errors.Join(p.Switch(w.base), w.clear())
	}
	_, err = w.ready(false)
	return untaken, errors.Join(err, w.clear())
}
