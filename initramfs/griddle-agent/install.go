package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync/atomic"

	"griddle/appliance/job"
	"griddle/imagestore/fetch"
	"griddle/imagestore/head"
	"griddle/imagestore/multicast"
	"griddle/initramfs"
	"griddle/initramfs/download"
	"griddle/initramfs/hardware"
	"griddle/initramfs/install"
	"griddle/initramfs/uplink"
	"griddle/tui"
)

// errCancelled ends a job that is over on the server: an operator cancelled or deleted it, or the server refused a
// report of this machine on it. The agent does not know which.
var errCancelled = errors.New("the server has ended this job; `griddle machine log` on the server says why")

// install carries out a job: documents first, then the disk.
func (s *station) install(ctx context.Context, l *uplink.Lease, spec job.Spec, found tui.Found) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s.events.Begin(spec.ID, func() { cancel(errCancelled) })
	defer s.events.Begin("", nil)
	s.sayNetwork(spec, found)
	var wire atomic.Int64
	w := &download.Ways{}
	seen, err := s.catalog(ctx, spec)
	var img *fetch.Opened
	if err == nil {
		img, err = s.open(ctx, spec, spec.Image, l, w, &wire)
	}
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		s.events.Event(job.Event{Job: spec.ID, Phase: job.PhaseCheck, Level: job.Error, State: job.Failed,
			Message: job.Sentence(err.Error() + "; nothing was written to disk")})
		return err
	}
	bios := found.Inventory.Firmware == "bios"
	var drives []int64
	if bios {
		drives = hardware.BIOSDrives(os.DirFS("/sys"))
	}
	err = install.Run(ctx, spec, img, found.Inventory.Disks, s.events, install.Options{
		Machine:  found.Identity,
		Name:     found.Welcome.Machine,
		Person:   s.person(found),
		BIOS:     bios,
		Drives:   drives,
		Agent:    "/" + initramfs.AgentPath,
		CA:       []byte(s.site.CA),
		Wire:     wire.Load,
		Ways:     w.Now,
		Spool:    w.UseSpool,
		Seen:     seen,
		Key:      s.key,
		Settings: s.settings(spec),
		Recovery: s.recovery(spec),
		Site:     s.site,
		SetClock: hardware.SetClock,
		Journal:  s.records(spec, job.PhasePartition),
		Tools:    s.tools(spec, job.PhasePartition),
		Tables:   tablesFolder,
		Look: func(ctx context.Context) ([]job.Disk, error) {
			found, err := s.disks.Scan(ctx)
			return install.Disks(found), err
		},
		Plan: func(ctx context.Context, have []string) (install.Image, error) {
			way, err := s.plan(ctx, spec, job.PlanAsk{Have: have})
			if err != nil && ctx.Err() == nil { // a server of an earlier version
				s.log.Info("the way to the image from the pool is not known", "error", err)
				return img, nil
			}
			if err != nil {
				return nil, err
			}
			return s.open(ctx, spec, way, l, w, &wire)
		},
		Kernel: func(ctx context.Context, have []string) (install.Image, error) {
			way := spec.Kernel
			if len(have) > 0 {
				if planned, err := s.plan(ctx, spec, job.PlanAsk{Have: have, Kernel: true}); err == nil {
					way = planned
				}
			}
			return s.open(ctx, spec, way, l, w, &wire)
		},
	})
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return cause
	}
	return err
}

// sayNetwork puts the addresses of the machine into the journal of the job.
func (s *station) sayNetwork(spec job.Spec, found tui.Found) {
	for _, n := range found.Inventory.NICs {
		if n.Address != "" {
			s.events.Event(job.Event{Job: spec.ID, Phase: job.PhaseNetwork, Level: job.Info,
				Message: job.Sentence(fmt.Sprintf("%s (%s, %s) has %s", n.Name, n.Driver, n.MAC, n.Address))})
		}
	}
}

// catalog is download.Head for a job.
func (s *station) catalog(ctx context.Context, spec job.Spec) (head.Seen, error) {
	from := func() (string, *http.Client) { return s.headSource(spec) }
	return download.Head(ctx, s.site.Catalog, from, func(err error, attempt int) {
		s.attempt(spec, job.PhaseCheck, err, attempt)
	})
}

// open gets the documents of an image from the job's sources and checks them against the site's keys.
func (s *station) open(ctx context.Context, spec job.Spec, img job.Image, l *uplink.Lease, w *download.Ways,
	wire *atomic.Int64) (*fetch.Opened, error) {
	trust, err := download.Trusted(s.site)
	if err != nil {
		return nil, err
	}
	sources := s.sources(spec)
	return download.Open(ctx, img, download.Options{
		Trust:   trust,
		Sources: sources,
		Source:  s.source,
		Ask: func(ctx context.Context, ask multicast.Ask) (a multicast.Answer, err error) {
			err = s.api.stream(ctx, ask, &a)
			return a, err
		},
		Networks: func() []multicast.Network { return networks(l) },
		Relay: s.relayWhile(spec, sources, w, func(err error, attempt int) {
			s.attempt(spec, job.PhaseReceive, err, attempt)
		}),
		Ways:   w,
		Wire:   func(n int64) { wire.Add(n) },
		Failed: func(phase job.Phase, err error, attempt int) { s.attempt(spec, phase, err, attempt) },
	})
}

// attempt reports one that failed and is repeated.
func (s *station) attempt(spec job.Spec, phase job.Phase, err error, attempt int) {
	s.events.Event(job.Event{Job: spec.ID, Phase: phase, Level: job.Warning,
		Message: job.Sentence(fmt.Sprintf("attempt %d: %v; trying again", attempt, err))})
}
