// Package liveupdate carries out the order that waits (package order) on the system that runs, while people work on it.
//
// Call Run, as root and outside the sandbox of the service. It returns when there is no order any more: the update is
// done, failed or was cancelled. Only then, or when ctx ends, because the system shuts down; then the order stays, and
// the next start of the system continues it.
//
//	order    the job, from the server or a person
//	plan     the cheapest way from what the pool has                       asked from the server
//	head     the site's catalog is not older than what this machine knows
//	open     signatures count if the newest notice has their keys
//	update   package update does the rest
//	wait     for the time of the job, with all received (where roots are partitions, only checked) and nothing switched
//	end      the result is durable, and the order is gone
//	restart  after the server has heard of the switch, or a minute later
//
// A server that is gone stops nothing: Run tries again until it answers. An order that was carried out is never carried
// out again: neither after a power cut between the switch and the record of it, nor after the new root failed.
package liveupdate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"griddle/appliance/job"
	"griddle/initramfs/pool"
	"griddle/initramfs/pool/history"
	"griddle/initramfs/pool/intake"
	"griddle/initramfs/resident/contact"
	"griddle/initramfs/resident/order"
	"griddle/initramfs/update"
)

// Options are what Run needs. Look, Again and Update may be left out.
type Options struct {
	Orders  order.Files
	Contact func() (*contact.Contact, error)       // opens it; the newest notice counts
	Pool    func() (*pool.Pool, pool.Place, error) // opens the one that the system runs from
	History func() ([]history.Event, error)        // of the pool
	// Restart restarts the machine, which then runs root; with kexec without the firmware, if that is possible.
	Restart func(ctx context.Context, root string, kexec bool) error
	Log     *slog.Logger

	Agent   string       // path of the agent, for the new root
	Machine job.Identity // for hooks
	BIOS    bool         // the machine runs a BIOS now

	Look  time.Duration // how often Run looks for a cancelled order; 0 means 2 s
	Again time.Duration // how long Run waits after a restart that failed; 0 means a minute
	// Update is update.Run; nil means that.
	Update func(ctx context.Context, o update.Options) (update.Result, error)
}

// errWithdrawn ends an update whose order is gone, or another one.
var errWithdrawn = errors.New("the order was taken back")

// Run carries out the order that waits. No order is not an error, and neither is an update that fails: the service
// reports it.
func Run(ctx context.Context, o Options) error {
	if o.Look == 0 {
		o.Look = 2 * time.Second
	}
	if o.Again == 0 {
		o.Again = time.Minute
	}
	if o.Update == nil {
		o.Update = update.Run
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
	if w.Spec.Kind != job.Update {
		return nil // another order took its place
	}
	r := &run{Options: o, spec: w.Spec, given: w.Given, held: map[string]*held{}, phase: job.PhaseCheck}
	defer o.Orders.Still()
	return r.run(ctx)
}

// run is one order.
type run struct {
	Options
	spec  job.Spec
	given time.Time
	held  map[string]*held // the opened images, by their references

	mu    sync.Mutex
	phase job.Phase // of the last event
}

func (r *run) run(ctx context.Context) error {
	work, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	go r.watch(work, stop)
	r.say("updating to %s", job.Printable(r.spec.Image.Ref))
	out, err := r.update(work)
	withdrawn := errors.Is(context.Cause(work), errWithdrawn)
	switch {
	case out.Root != "":
		if err != nil { // of closing the pool: what was switched stays
			r.Log.Warn("after the update", "error", err)
		}
		err = nil
	case withdrawn:
		r.say("the update was cancelled")
		return nil
	case ctx.Err() != nil:
		return nil // the system shuts down: the next start continues
	case errors.Is(err, update.ErrBusy):
		return err // the other one ends the order
	}
	end := order.Result{Job: r.spec.ID, Image: r.spec.Image.Ref, Root: out.Root, State: order.Switched, Phase: r.now(),
		Boot: order.Boot(), Time: time.Now().UTC().Truncate(time.Second)}
	switch {
	case err != nil:
		end.State, end.Message = order.Failed, err.Error()+"; the machine runs as before"
		r.Log.Error("the update failed", "error", err)
	case out.Current:
		end.State, end.Message = order.Current, "the machine runs this image already"
	}
	if err := r.Orders.End(end); err != nil {
		return err
	}
	if withdrawn && end.State == order.Switched {
		r.say("the update was cancelled too late: %s", job.NextStart(out.Root))
		return nil
	}
	if end.State != order.Switched || r.spec.When == job.WhenReboot {
		return nil
	}
	r.heard(ctx)
	r.say("restarting into %s", out.Root)
	return r.restart(ctx, out.Root)
}

// restart restarts the machine. It tries again until ctx ends: the order is over, and nothing else would restart it.
func (r *run) restart(ctx context.Context, root string) error {
	for ctx.Err() == nil {
		err := r.Restart(ctx, root, r.spec.Kexec)
		if err == nil {
			return nil
		}
		r.Log.Error("the machine does not restart, trying again", "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(r.Again):
		}
	}
	return nil
}

// watch stops the update when its order is gone or another one.
func (r *run) watch(ctx context.Context, stop func(error)) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(r.Look):
		}
		w, err := r.Orders.Waiting()
		over := r.Orders.Result()
		if err == nil && (w == nil || w.Spec.ID != r.spec.ID) && (over == nil || over.Job != r.spec.ID) {
			stop(errWithdrawn)
			return
		}
	}
}

// hearing is how long the restart waits for the server to hear of the switch: a machine that starts from the network
// would get the same order again otherwise.
const hearing = time.Minute

func (r *run) heard(ctx context.Context) {
	end := time.After(hearing)
	for r.Orders.Reported().Switched != r.spec.ID {
		select {
		case <-ctx.Done():
			return
		case <-end:
			r.say("the server did not hear of the switch")
			return
		case <-time.After(r.Look):
		}
	}
}

// update makes the new root, at the time of the job.
func (r *run) update(ctx context.Context) (update.Result, error) {
	if err := r.failed(); err != nil {
		return update.Result{}, err
	}
	p, place, err := r.Pool()
	if err != nil {
		return update.Result{}, err
	}
	out, err := r.on(ctx, p, place)
	if err := TellRoots(r.Orders, p); err != nil {
		r.Log.Warn("the systems of this machine are not known", "error", err)
	}
	return out, errors.Join(err, p.Close())
}

// failed is the error of an order whose new root failed: the power was cut between the switch and the record of it.
func (r *run) failed() error {
	all, err := r.History()
	if err != nil {
		return err
	}
	image, made := intake.Name(r.spec.Image.Ref), map[string]string{}
	for _, e := range all {
		if e.Kind == history.Made {
			made[e.Root] = e.Image
		}
		if e.Kind == history.Failed && (e.Image == image || made[e.Root] == image) &&
			!e.Time.Before(r.given.Truncate(time.Second)) {
			return fmt.Errorf("%s failed: %s", pool.Label(e.Root), e.Reason)
		}
	}
	return nil
}

func (r *run) on(ctx context.Context, p *pool.Pool, place pool.Place) (update.Result, error) {
	at, later := r.spec.When.Time()
	if later && time.Until(at) > 0 {
		out, err := r.once(ctx, p, place, true)
		if err != nil || out.Current {
			return out, err
		}
		if err := r.until(ctx, at, place); err != nil {
			return update.Result{}, err
		}
	}
	return r.once(ctx, p, place, false)
}

// until waits for a time. It asks the clock each minute: the machine may sleep, and its clock may be set.
func (r *run) until(ctx context.Context, at time.Time, place pool.Place) error {
	does := "%s is received; the machine starts it at %s"
	if len(place.Own) > 0 { // the root that it takes is to be there to go back to until then
		does = "%s can be taken; the machine receives it and restarts at %s"
	}
	r.say(does, r.spec.Image.Ref, at.Local().Format("2006-01-02 15:04 MST"))
	for left := time.Until(at); left > 0; left = time.Until(at) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(min(left, time.Minute)):
		}
	}
	return nil
}

func (r *run) once(ctx context.Context, p *pool.Pool, place pool.Place, prepare bool) (update.Result, error) {
	c, err := r.Contact()
	if err != nil {
		return update.Result{}, err
	}
	defer c.Close()
	g, err := r.getter(c)
	if err != nil {
		return update.Result{}, err
	}
	o := update.Options{Pool: p, Place: place, Spec: r.spec, Open: g.open, Kernel: g.kernel,
		Event: r.event, Prepare: prepare,
		Name: c.Config.Machine, Machine: r.Machine, BIOS: r.BIOS, Agent: r.Agent,
		CA: []byte(c.Site().CA), Site: c.Site(),
		Wire: g.wire.Load, Ways: g.ways.Now, Spool: g.ways.UseSpool}
	if r.spec.Settings {
		o.Settings = g.settings
	}
	return r.Update(ctx, o)
}

// event records what happens, for the service and for the journal of the system.
func (r *run) event(e job.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.phase = e.Phase
	p := order.Progress{Job: r.spec.ID, Image: r.spec.Image.Ref, Phase: e.Phase, Message: e.Message,
		Progress: e.Progress, Time: time.Now().UTC()}
	if e.Message != "" {
		level := map[job.Level]slog.Level{job.Warning: slog.LevelWarn, job.Error: slog.LevelError}[e.Level]
		r.Log.Log(context.Background(), level, e.Message, "phase", e.Phase)
	} else if last := r.Orders.Progress(); last != nil {
		p.Message = last.Message
	}
	r.Orders.Tell(p)
}

func (r *run) say(format string, args ...any) {
	r.event(job.Event{Phase: r.now(), Level: job.Info, Message: job.Sentence(fmt.Sprintf(format, args...))})
}

func (r *run) now() job.Phase {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.phase
}
