// Package action carries out the action that waits (package order) on the system that runs: the server has the machine
// restart, go back to an earlier root, or run a program.
//
// Call Run, as root and outside the sandbox of the service. It returns when there is no order any more, when another
// kind of order waits, or when ctx ends, because the system shuts down.
//
// A restart takes two runs. The first one records durably that the action begins in this start of the machine (Begin),
// tells the server, and restarts the machine. The second one, in the next start, finds that record and ends the order.
// So a power cut or a kill at any point neither restarts the machine twice nor forgets the order: before the record
// nothing has happened, and after it the next start, whatever caused it, is the restart. A rollback records first which
// root it starts, and then, after the switch, that it was made: so a cut between the two switches to the same root
// again.
//
// A program is started after the record that it begins, and never again: what ends it early, such as a power cut, makes
// its end unknown, and the server hears that.
package action

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"griddle/appliance/job"
	"griddle/initramfs/pool"
	"griddle/initramfs/pool/history"
	"griddle/initramfs/resident/order"
)

// Options are what Run needs. Look, Hear and Again may be left out.
type Options struct {
	Orders  order.Files
	Boot    string                          // the kernel's boot_id
	Root    string                          // that runs, for people
	Restart func(ctx context.Context) error // has the machine restart through its firmware
	Pool    func() (*pool.Pool, error)      // opens the one that the system runs from
	// Note adds an event to the history of the pool.
	Note func(kind history.Kind, root string) error
	Log  *slog.Logger
	// Exec runs a program line, such as Systemd. NoRuns is the path of NoRuns.
	Exec   func(ctx context.Context, id string, argv []string, limit time.Duration, out io.Writer) (exit int, err error)
	NoRuns string

	Look  time.Duration // how often Run looks for an order that was taken back; 0 means 2 s
	Hear  time.Duration // how long the server may take to hear of a restart; 0 means a minute
	Again time.Duration // how long Run waits for the restart before it asks again; 0 means a minute
}

// run is one order.
type run struct {
	Options
	id string
}

// Run carries out the action that waits. None is not an error, and neither is an action that fails: the service reports
// it.
func Run(ctx context.Context, o Options) error {
	for _, d := range []struct {
		at *time.Duration
		to time.Duration
	}{{&o.Look, 2 * time.Second}, {&o.Hear, time.Minute}, {&o.Again, time.Minute}} {
		if *d.at == 0 {
			*d.at = d.to
		}
	}
	w, err := o.Orders.Waiting()
	if errors.Is(err, order.ErrDamaged) {
		return errors.Join(err, o.Orders.Clean())
	}
	if err != nil {
		return err
	}
	if w == nil {
		return o.Orders.Clean() // what a power cut left of one that ended
	}
	r := &run{o, w.Spec.ID}
	defer o.Orders.Still()
	switch w.Spec.Kind {
	case job.Reboot:
		err = r.reboot(ctx)
	case job.Rollback:
		err = r.rollback(ctx, w.Spec.Root)
	case job.Run:
		err = r.program(ctx, w.Spec)
	}
	if errors.Is(err, errLost) {
		err = r.fail(job.PhaseCheck, err.Error())
	}
	return err
}

// errLost ends an action of which no one knows whether it was begun.
var errLost = errors.New("the machine may have begun this action before, and what became of it is not known")

// begin records that the action begins, if that is not recorded yet, and returns the record; fresh says that it was
// not. It returns errLost if the action is an old one, or the record cannot be read.
func (r *run) begin() (begun order.Begun, fresh bool, err error) {
	begun, err = r.Orders.Begun()
	damaged := errors.Is(err, order.ErrDamaged)
	switch {
	case err != nil && !damaged:
		return begun, false, err
	case begun.Job == r.id:
		return begun, false, nil
	case begun.Has(r.id): // a later one began since: a server that was restored from a copy gave it again
		return begun, false, errLost
	}
	begun = order.Begun{Job: r.id, Boot: r.Boot}
	if err := r.Orders.Begin(begun); err != nil {
		return begun, false, err
	}
	if damaged {
		return begun, false, errLost
	}
	return begun, true, nil
}

// reboot restarts the machine, unless it was restarted since the action began.
func (r *run) reboot(ctx context.Context) error {
	begun, _, err := r.begin()
	if err != nil {
		return err
	}
	if begun.Boot != r.Boot {
		return r.done(job.PhaseRestart, fmt.Sprintf("the machine restarted, and runs %s", r.Root))
	}
	r.tell(job.PhaseRestart, "the machine restarts")
	return r.restart(ctx)
}

// restart has the machine restart, after the server has heard of it or had time to. It returns when the order is taken
// back or ctx ends, and asks again meanwhile: nothing else would restart the machine.
func (r *run) restart(ctx context.Context) error {
	late := time.Now().Add(r.Hear)
	for r.Orders.Reported().Restarts != r.id && time.Now().Before(late) {
		if !r.wait(ctx, r.Look) {
			return nil
		}
	}
	for r.waits() && ctx.Err() == nil {
		if err := r.Restart(ctx); err != nil {
			r.tell(job.PhaseRestart, fmt.Sprintf("the machine does not restart, and tries again: %v", err))
		}
		for again := time.Now().Add(r.Again); time.Now().Before(again); {
			if !r.wait(ctx, r.Look) {
				return nil
			}
		}
	}
	return nil
}

// wait waits, and reports whether there is still something to do: ctx has not ended, and the order was not taken back.
func (r *run) wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
	}
	return r.waits()
}

// waits says whether the order is still there. One that cannot be read now may be.
func (r *run) waits() bool {
	w, err := r.Orders.Waiting()
	if err == nil && (w == nil || w.Spec.ID != r.id) {
		r.Log.Info("the action was cancelled", "job", r.id)
		return false
	}
	return true
}

// end records what became of the action, and ends the order. It is durable on return.
func (r *run) end(end order.Result) error {
	r.Log.Info(end.Message, "job", r.id, "state", string(end.State))
	end.Job, end.Root, end.Boot, end.Time = r.id, r.Root, r.Boot, time.Now().UTC().Truncate(time.Second)
	return r.Orders.EndAction(end)
}

func (r *run) done(phase job.Phase, message string) error {
	return r.end(order.Result{State: order.Done, Phase: phase, Message: message})
}

func (r *run) fail(phase job.Phase, message string) error {
	return r.end(order.Result{State: order.Failed, Phase: phase, Message: message})
}

// tell says what the machine does now, to the service and to the journal of the system.
func (r *run) tell(phase job.Phase, message string) {
	r.Log.Info(message, "job", r.id, "phase", string(phase))
	r.Orders.Tell(order.Progress{Job: r.id, Phase: phase, Message: message, Time: time.Now().UTC()})
}
