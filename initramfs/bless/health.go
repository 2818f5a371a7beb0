package bless

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"griddle/appliance/job"
	"griddle/initramfs/bless/health"
)

// serverTime is how long the server has to be reached: networks and their name servers come up late. The deadline of
// the trial leaves it some minutes more, for the start of the system and the other checks.
const serverTime = 7 * time.Minute

// Health checks the system that runs. The error says what failed, as a *Fault; on trial it is in trial.json then, with
// the ends of the logs. If ctx ends first, that is not an error.
func Health(ctx context.Context, o Options) error {
	o = o.filled()
	fault := o.check(ctx)
	if fault == nil {
		o.Log.Info("all checks passed")
		return nil
	}
	if ctx.Err() != nil { // the system stops: a unit that failed would make a restart of it
		return nil
	}
	if !o.OnTrial {
		return fault
	}
	return errors.Join(fault, o.report(ctx, *fault))
}

// report keeps why the trial failed for the good root.
func (o Options) report(ctx context.Context, f Fault) error {
	f.Lines = append(f.Lines, logs(ctx)...)
	return o.with(func(r running) error {
		t := r.trial()
		if t.Fault.Reason != "" {
			return nil // the first one is the reason
		}
		t.Fault = f
		return writeTrial(r.record, t)
	})
}

// trial is the one of this start. A report of an earlier one is not worth keeping.
func (r running) trial() Trial {
	if t, err := readTrial(r.record, r.Name); err == nil && t.Boot == r.Started.Boot && t.Root != "" {
		return t
	}
	return Trial{Root: r.Name, Image: r.Image, Boot: r.Started.Boot, Began: time.Now().UTC().Truncate(time.Second)}
}

// check is the first fault of the system, nil for none.
func (o Options) check(ctx context.Context) *Fault {
	conf, err := health.Read(filepath.Join(o.Root, health.ConfigFile))
	if err != nil {
		return &Fault{Reason: err.Error()}
	}
	if f := o.checks(ctx); f != nil {
		return f
	}
	if conf.Server == health.Optional || conf.Server == "" && !o.Reached {
		return nil
	}
	if err := o.reach(ctx); err != nil {
		return &Fault{Reason: "the server was not reached: " + job.Sentence(err.Error())}
	}
	o.Log.Info("the server was reached")
	return nil
}

// reach reaches the server, in several attempts.
func (o Options) reach(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, serverTime)
	defer cancel()
	for {
		err := o.Server(ctx)
		if err == nil || ctx.Err() != nil {
			return err
		}
		o.Log.Warn("the server was not reached, trying again", "error", err)
		o.Wait(ctx, 5*time.Second)
	}
}
