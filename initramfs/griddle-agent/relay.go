package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"griddle/appliance/job"
	"griddle/imagestore/blob"
	"griddle/imagestore/multicast"
	"griddle/imagestore/multicast/relay"
	"griddle/initramfs/download"
	"griddle/initramfs/uplink"
)

// memoryDir is where a machine that only relays keeps what it fetched: in memory, for it touches no disk.
const memoryDir = "/run/griddle-relay"

// relay carries out a job that relays an image: it fetches every stream of it once and gives it to the neighbours,
// until the operator takes the job back. Only a job that cannot be done ends it otherwise.
func (s *station) relay(ctx context.Context, l *uplink.Lease, spec job.Spec) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s.events.Begin(spec.ID, func() { cancel(errCancelled) })
	defer s.events.Begin("", nil)
	say := func(level job.Level, state job.State, format string, args ...any) {
		s.events.Event(job.Event{Job: spec.ID, Phase: job.PhaseReceive, Level: level, State: state,
			Message: job.Sentence(fmt.Sprintf(format, args...))})
	}
	err := s.relayAll(ctx, l, spec, say)
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	if err != nil && !errors.Is(err, errCancelled) {
		say(job.Error, job.Failed, "%v; nothing was written to disk", err)
	}
	return err
}

// reportFunc reports an event for people.
type reportFunc func(level job.Level, state job.State, format string, args ...any)

func (s *station) relayAll(ctx context.Context, l *uplink.Lease, spec job.Spec, say reportFunc) error {
	var need int64
	for _, st := range spec.Image.Streams {
		need += st.Wire
	}
	if err := mountMemory(need); err != nil {
		return err
	}
	defer unix.Unmount(memoryDir, unix.MNT_DETACH)
	w := &download.Ways{}
	img, err := s.open(ctx, spec, spec.Image, l, w, new(atomic.Int64))
	if err != nil {
		return err
	}
	say(job.Info, job.Started, "relaying %s to %s: %d streams, %s", img.Ref(), l.Prefix.String(),
		len(img.Streams()), job.Bytes(need))
	ended := make(chan error)
	for _, st := range img.Streams() {
		go func() { ended <- s.relayOne(ctx, l, spec, st.Encoding, st.Wire, w, say) }()
	}
	var errs error
	for range img.Streams() {
		errs = errors.Join(errs, <-ended)
	}
	return errs
}

// relayOne holds one session of an encoding after the other.
func (s *station) relayOne(ctx context.Context, l *uplink.Lease, spec job.Spec, encoding blob.Digest, size int64,
	w *download.Ways, say reportFunc) error {
	sources := s.sources(spec)
	nets := networks(l)
	var spool *relay.Spool
	defer func() {
		if spool != nil {
			spool.Close()
		}
	}()
	fetched := make(chan error, 1)
	retry := func(err error, attempt int) { say(job.Warning, "", "attempt %d: %v; trying again", attempt, err) }
	for pause := time.Second; ctx.Err() == nil; {
		var a multicast.Answer
		err := s.api.stream(ctx, multicast.Ask{Encoding: encoding, Size: size, Networks: nets}, &a)
		if err == nil && a.Relay == nil {
			err = errors.New("the server does not order to relay: " + a.Why)
		}
		if err == nil && spool == nil {
			if spool, err = relay.NewSpool(ctx, memoryDir, a.Relay.Session, sources); err == nil {
				go func() { fetched <- spool.Fill(ctx, sources, w.Tell, retry) }()
			}
		}
		if err == nil {
			pause = time.Second
			err = spool.Hold(ctx, relay.HoldOptions{Order: *a.Relay, Network: nets[0], Report: s.reportRelay,
				Log: s.log, Status: s.showRelay(spec, spool, size, w)})
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			say(job.Warning, "", "%v; trying again", err)
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
			pause = min(2*pause, 30*time.Second)
		}
		select {
		case err := <-fetched:
			if err != nil {
				return err
			}
		default:
		}
	}
	return ctx.Err()
}

// reportRelay tells the server; one that knows no such session says so by 404.
func (s *station) reportRelay(ctx context.Context, r multicast.RelayReport) (c multicast.RelayCommand, err error) {
	err = s.api.relay(ctx, r, &c)
	var p *job.Problem
	if errors.As(err, &p) && p.Status == http.StatusNotFound {
		err = fmt.Errorf("%w: %w", multicast.ErrNoSession, err)
	}
	return c, err
}

// showRelay draws how much was fetched, and to whom it goes.
func (s *station) showRelay(spec job.Spec, spool *relay.Spool, size int64,
	w *download.Ways) func(multicast.SessionStatus) {
	var last string
	return func(st multicast.SessionStatus) {
		p := &job.Progress{Done: spool.Verified(), Total: size, Wire: spool.Verified(), Left: -1, Ways: w.Now()}
		s.events.Event(job.Event{Job: spec.ID, Phase: job.PhaseReceive, Level: job.Info, Progress: p})
		n := 0
		for _, r := range st.Receivers {
			if r.State == "receiving" {
				n++
			}
		}
		now := fmt.Sprintf("%v: %d machines receive", st.State, n)
		if now != last {
			last = now
			s.events.Event(job.Event{Job: spec.ID, Phase: job.PhaseReceive, Level: job.Info, Message: now})
		}
	}
}

// mountMemory makes a place in memory for need bytes, if this machine has as much to spare.
func mountMemory(need int64) error {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return fmt.Errorf("looking at this machine's memory: %w", err)
	}
	free := int64(info.Freeram+info.Bufferram) * int64(info.Unit)
	if room := need + need/8; room > free-256<<20 {
		return fmt.Errorf("this machine has %s of free memory, and to relay it needs %s and 256 MiB for itself; "+
			"use a machine with more memory to relay", job.Bytes(free), job.Bytes(room))
	}
	if err := os.MkdirAll(memoryDir, 0o700); err != nil {
		return err
	}
	if err := unix.Mount("griddle-relay", memoryDir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC,
		fmt.Sprintf("mode=0700,size=%d", need+need/8+1<<20)); err != nil {
		return fmt.Errorf("making room in memory: %w", err)
	}
	return nil
}

// relayWhile fetches a stream for this machine's install and for its neighbours at once.
func (s *station) relayWhile(spec job.Spec, sources []blob.Reader, w *download.Ways,
	retry func(error, int)) func(context.Context, multicast.RelayOrder, multicast.Network) (io.ReadCloser, error) {
	return func(ctx context.Context, o multicast.RelayOrder, n multicast.Network) (io.ReadCloser, error) {
		dir := w.SpoolDir()
		if dir == "" {
			return nil, errors.New("there is no place to store the image")
		}
		spool, err := relay.NewSpool(ctx, dir, o.Session, sources)
		if err != nil {
			return nil, err
		}
		r := &relaying{Reader: spool.Reader(ctx), spool: spool, status: make(chan struct{}, 1)}
		ctx, r.cancel = context.WithCancel(ctx)
		r.wg.Go(func() { _ = spool.Fill(ctx, sources, w.Tell, retry) }) // the reader gets its error
		r.wg.Go(func() {
			defer r.over()
			err := spool.Hold(ctx,
				relay.HoldOptions{Order: o, Network: n, Report: s.reportRelay, Log: s.log, Status: r.hear})
			if err != nil && ctx.Err() == nil {
				s.events.Event(job.Event{Job: spec.ID, Phase: job.PhaseReceive, Level: job.Warning,
					Message: job.Sentence("relaying ended: " + err.Error())})
			}
		})
		s.events.Event(job.Event{Job: spec.ID, Phase: job.PhaseReceive, Level: job.Info,
			Message: "this machine also fetches the image for its neighbours"})
		return r, nil
	}
}
