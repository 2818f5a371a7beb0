package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"griddle/appliance/e2e"
	"griddle/appliance/fleet"
	"griddle/appliance/job"
)

// change is how a machine came to the next version of its image.
type change struct {
	took  time.Duration // from the order until the server knew that the new root runs
	bytes int64         // that the LAN brought to the machine meanwhile
	login time.Duration // from the order to its login prompt
	jumps int           // starts of a kernel by kexec
	spent []e2e.Spent
}

// updates gives the installed machine the next version of its image, each time from the same state: live, and by an
// install.
func (l *lab) updates(ctx context.Context) error {
	jump, err := l.update(ctx, "updates")
	if err != nil {
		return err
	}
	restart, err := l.update(ctx, "never")
	if err != nil {
		return err
	}
	if jump.jumps != 1 || restart.jumps != 0 {
		return fmt.Errorf("the machine started a kernel by kexec %d times where it may, and %d times where it may not",
			jump.jumps, restart.jumps)
	}
	l.say("update by a delta: %.1f s from the order until the new root has proved itself, %s over the network",
		jump.took.Seconds(), job.Bytes(jump.bytes))
	for _, how := range []struct {
		name string
		more []string
	}{{"without --erase", nil}, {"with --erase", []string{"--erase", serial}}} {
		c, err := l.reinstall(ctx, how.more...)
		if err != nil {
			return err
		}
		l.say("install %s of the same image on the same machine: %.1f s, %s; the update takes %.2f of its time, "+
			"%.4f of its bytes", how.name, c.took.Seconds(), job.Bytes(c.bytes), jump.took.Seconds()/c.took.Seconds(),
			float64(jump.bytes)/float64(c.bytes))
		l.say("install %s, where the time goes: %s", how.name, e2e.PhaseLine(c.spent))
	}
	l.say("order until the new root has proved itself: by kexec %.1f s (its login prompt %.1f s), by restart %.1f s "+
		"(its login prompt %.1f s); ratio %.2f", jump.took.Seconds(), jump.login.Seconds(), restart.took.Seconds(),
		restart.login.Seconds(), jump.took.Seconds()/restart.took.Seconds())
	l.say("by kexec, where the time goes: %s", e2e.PhaseLine(jump.spent))
	l.say("by restart, where the time goes: %s", e2e.PhaseLine(restart.spent))
	return nil
}

// update updates the machine while it runs.
func (l *lab) update(ctx context.Context, kexec string) (change, error) {
	return l.change(ctx, kexec, func() error {
		if err := l.on(ctx); err != nil {
			return err
		}
		_, err := l.m.WaitLogin(ctx)
		return err
	}, func() error { return l.site.Update(ctx, l.m, l.images[1]) }, e2e.InState(job.Done))
}

// reinstall installs the machine from the network.
func (l *lab) reinstall(ctx context.Context, more ...string) (change, error) {
	return l.change(ctx, "never", func() error { return nil }, func() error {
		more = append([]string{"--disk", "serial:" + serial}, more...)
		if err := l.site.Install(ctx, l.m, l.images[1], more...); err != nil {
			return err
		}
		return l.on(ctx)
	}, e2e.Deployed)
}

// on switches the machine on.
func (l *lab) on(ctx context.Context) error {
	l.begun = time.Now()
	return l.m.PowerOn(ctx)
}

// change restores the machine and its server, makes it ready for an order, and gives that. It ends with the entry of
// the journal that end accepts.
func (l *lab) change(ctx context.Context, kexec string, ready, order func() error,
	end func(fleet.Entry) bool) (c change, err error) {
	if err := l.site.Return(ctx, installed); err != nil {
		return c, err
	}
	if l.m, err = l.installed.Machine(ctx, "changed"); err != nil {
		return c, err
	}
	if err := l.serve(ctx, kexec); err != nil {
		return c, err
	}
	if err := ready(); err != nil {
		return c, err
	}
	defer l.m.PowerCut()
	before, err := l.m.Received(ctx)
	if err != nil {
		return c, err
	}
	if err := order(); err != nil {
		return c, err
	}
	known, err := l.site.Machine(ctx, l.m)
	if err != nil {
		return c, err
	}
	ordered, id := known.Job.Created, known.Job.Spec.ID
	ours := func(e fleet.Entry) bool { return e.Event.Job == id }
	last, err := l.site.WaitJournal(ctx, l.m, "the end of the job",
		func(e fleet.Entry) bool { return ours(e) && end(e) })
	if err != nil {
		return c, err
	}
	c.took = last.Received.Sub(ordered)
	if c.bytes, err = l.m.Received(ctx); err != nil {
		return c, err
	}
	c.bytes -= before
	login, err := l.m.WaitLogin(ctx)
	if err != nil {
		return c, err
	}
	c.jumps = l.m.Console().Count(`kexec_core: Starting new kernel`)
	c.login = l.begun.Add(login).Sub(ordered)
	all, err := l.site.Journal(ctx, l.m)
	if err != nil {
		return c, err
	}
	c.spent = e2e.Phases(slices.DeleteFunc(all, func(e fleet.Entry) bool { return !ours(e) }))
	l.m.PowerCut()
	return c, errors.Join(l.m.Remove(), l.site.Stop(ctx))
}
