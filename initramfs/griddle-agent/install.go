package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"

	"griddle/appliance/job"
	"griddle/imagestore/blob"
	"griddle/imagestore/fetch"
	"griddle/initramfs"
	"griddle/initramfs/hardware"
	"griddle/initramfs/install"
	"griddle/initramfs/kmod"
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
	for _, n := range found.Inventory.NICs {
		if n.Address != "" {
			s.events.Event(job.Event{Job: spec.ID, Phase: job.PhaseNetwork, Level: job.Info,
				Message: job.Sentence(fmt.Sprintf("%s (%s, %s) has %s", n.Name, n.Driver, n.MAC, n.Address))})
		}
	}

	var wire atomic.Int64
	w := &ways{}
	seen, err := s.catalog(ctx, spec)
	var img *fetch.Opened
	if err == nil {
		img, err = s.open(ctx, spec, l, w, &wire)
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
		if err := kmod.Modprobe([]string{"edd"}); err != nil {
			s.log.Info("the BIOS's drives are not known", "error", err)
		}
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
		Ways:     w.now,
		Spool:    w.useSpool,
		Seen:     seen,
		Key:      s.key,
		Settings: s.settings(spec),
		Site:     s.site,
		SetClock: hardware.SetClock,
	})
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return cause
	}
	return err
}

// open gets the image's documents from the job's sources and checks them against the site's keys.
func (s *station) open(ctx context.Context, spec job.Spec, l *uplink.Lease, w *ways,
	wire *atomic.Int64) (*fetch.Opened, error) {
	trust, err := trusted(s.site)
	if err != nil {
		return nil, err
	}
	plan := fetch.Plan{Ref: spec.Image.Ref, Document: blob.Digest(spec.Image.Document), Size: spec.Image.Size}
	for _, st := range spec.Image.Streams {
		plan.Streams = append(plan.Streams, fetch.PlanStream{
			Document: blob.Digest(st.Document), Index: blob.Digest(st.Index), Raw: st.Raw, Wire: st.Wire,
		})
	}
	sources := s.sources(spec)
	var opened atomic.Bool
	retry := func(err error, attempt int) {
		phase := job.PhaseCheck
		if opened.Load() {
			phase = job.PhaseReceive
		}
		s.events.Event(job.Event{Job: spec.ID, Phase: phase, Level: job.Warning,
			Message: job.Sentence(fmt.Sprintf("attempt %d: %v; trying again", attempt, err))})
	}
	// What the fetcher cannot get any more the plain sources may still have.
	sources = append([]blob.Reader{s.fetcher(spec, sources, l, w, retry)}, sources...)
	img, err := fetch.Open(ctx, sources, trust, plan, fetch.Options{Wire: func(n int64) { wire.Add(n) }, Retry: retry})
	if err != nil {
		return nil, err
	}
	opened.Store(true)
	return img, nil
}
