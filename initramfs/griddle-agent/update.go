package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"griddle/appliance/job"
	"griddle/imagestore/head"
	"griddle/initramfs"
	"griddle/initramfs/download"
	"griddle/initramfs/mounts/opening"
	"griddle/initramfs/pool"
	"griddle/initramfs/resident/contact"
	"griddle/initramfs/resident/order"
	"griddle/initramfs/update"
	"griddle/initramfs/uplink"
	"griddle/tui"
)

// update carries out a job on the pool of this machine. What comes of the new root its own service reports.
func (s *station) update(ctx context.Context, l *uplink.Lease, spec job.Spec, found tui.Found) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s.events.Begin(spec.ID, func() { cancel(errCancelled) })
	defer s.events.Begin("", nil)
	s.sayNetwork(spec, found)
	phase := job.PhaseCheck
	s.events.Event(job.Event{Job: spec.ID, Phase: phase, Level: job.Info, State: job.Started,
		Message: "the update is carried out from the network"})
	err := s.updatePool(ctx, l, spec, found, func(e job.Event) {
		phase = e.Phase
		s.events.Event(e)
	})
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	if err != nil {
		s.events.Event(job.Event{Job: spec.ID, Phase: phase, Level: job.Error, State: job.Failed,
			Message: job.Sentence(err.Error() + "; the machine keeps the system that it has")})
	}
	return err
}

func (s *station) updatePool(ctx context.Context, l *uplink.Lease, spec job.Spec, found tui.Found,
	tell func(job.Event)) (err error) {
	place, err := poolOf(spec, pool.All())
	if err != nil {
		return err
	}
	seen, err := s.catalog(ctx, spec)
	if err != nil {
		return err
	}
	settings := once(s.settings(spec))
	keys := keys(settings, once(s.recovery(spec)))
	place, shut, err := unlocked(ctx, place, s.tools(spec, job.PhaseCheck), keys)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, shut()) }()
	p, err := pool.Open(place)
	if err != nil {
		return err
	}
	if err := keepHead(p, seen); err != nil {
		return errors.Join(err, p.Close())
	}
	end, err := opening.Open(ctx, p.Dir(), opening.Needs{Tools: s.tools(spec, job.PhaseCheck), Keys: keys})
	if err != nil {
		return errors.Join(err, p.Close())
	}
	var wire atomic.Int64
	w := &download.Ways{}
	r, err := update.Run(ctx, update.Options{
		Pool: p, Place: place, Spec: spec, Event: tell,
		Open: func(ctx context.Context, have []string) (update.Image, error) {
			img, err := s.plan(ctx, spec, job.PlanAsk{Have: have})
			if err != nil {
				return nil, err
			}
			return s.open(ctx, spec, img, l, w, &wire)
		},
		Kernel: func(ctx context.Context, have []string) (update.Image, error) {
			img, err := s.plan(ctx, spec, job.PlanAsk{Have: have, Kernel: true})
			if err != nil {
				return nil, err
			}
			return s.open(ctx, spec, img, l, w, &wire)
		},
		Settings: settings,
		Name:     found.Welcome.Machine,
		Machine:  found.Identity,
		BIOS:     found.Inventory.Firmware == "bios",
		Person:   s.person(found),
		Agent:    "/" + initramfs.AgentPath,
		CA:       []byte(s.site.CA),
		Site:     s.site,
		Wire:     wire.Load,
		Ways:     w.Now,
		Spool:    w.UseSpool,
	})
	if err == nil {
		err = leaveResult(p, spec, r)
	}
	if err == nil && r.Current { // the server has to let the machine start its disk, as after a switch
		tell(job.Event{Job: spec.ID, Phase: job.PhaseSwitch, Level: job.Info,
			Message: "the pool has this image already"})
	}
	return errors.Join(err, end(), p.Close())
}

// keepHead leaves in the pool, for the service of the installed system, the head of the catalog that this machine
// saw. A pool that knows a newer one is not updated.
func keepHead(p *pool.Pool, seen head.Seen) error {
	dir, err := pool.Persistent(p.Dir())
	if err != nil {
		return err
	}
	return errors.Join(contact.KeepHead(dir, seen), dir.Close())
}

// leaveResult leaves in the pool, for the service of the installed system, what it reports of the job.
func leaveResult(p *pool.Pool, spec job.Spec, r update.Result) error {
	state := map[bool]order.State{true: order.Current, false: order.Switched}[r.Current]
	dir, err := pool.Persistent(p.Dir())
	if err != nil {
		return err
	}
	defer dir.Close()
	return order.Open(dir.Name(), order.Run).End(order.Result{Job: spec.ID, Image: spec.Image.Ref, Root: r.Root,
		State: state, Phase: job.PhaseSwitch, Boot: order.Boot(), Time: time.Now().UTC().Truncate(time.Second)})
}

// plan asks the server for the way to the image of a job, or to its kernel image, from what the pool has, until it
// answers.
func (s *station) plan(ctx context.Context, spec job.Spec, ask job.PlanAsk) (job.Image, error) {
	ask.Job = spec.ID
	want := spec.Image
	if ask.Kernel {
		want = spec.Kernel
	}
	for attempt := 1; ; attempt++ {
		img, err := s.api.plan(ctx, ask)
		if err == nil {
			return sameImage(want, img)
		}
		if !job.Retryable(err) {
			return job.Image{}, err
		}
		s.attempt(spec, job.PhaseCheck, err, attempt)
		select {
		case <-ctx.Done():
			return job.Image{}, context.Cause(ctx)
		case <-time.After(min(time.Duration(attempt)*time.Second, 30*time.Second)):
		}
	}
}

// sameImage is a plan of the image that was ordered.
func sameImage(want, planned job.Image) (job.Image, error) {
	if planned.Ref != want.Ref || planned.Document != want.Document {
		return job.Image{}, fmt.Errorf("the server plans the way to %s, and the job names %s",
			job.Printable(planned.Ref), job.Printable(want.Ref))
	}
	return planned, nil
}

// poolOf is the pool that a job updates, among those of this machine.
func poolOf(spec job.Spec, all []pool.Place) (pool.Place, error) {
	var found []pool.Place
	var disks []string
	for _, p := range all {
		if spec.Pool == "" || p.Job == spec.Pool {
			found = append(found, p)
		}
		disks = append(disks, p.Disk)
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(all) == 0:
		return pool.Place{}, errors.New("this machine has no disk that Griddle installed; install it with " +
			"`griddle machine install`")
	case len(found) == 0:
		return pool.Place{}, fmt.Errorf("the pool that the server knows of this machine is not on a disk of it; other "+
			"pools are on %s", strings.Join(disks, ", "))
	}
	return pool.Place{}, fmt.Errorf("several disks of this machine have a pool, %s, and the server does not know "+
		"which one is meant; disconnect the others", strings.Join(disks, ", "))
}
