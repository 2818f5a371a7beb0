// Package journal delivers the events of a boot to the server: in order, once each, however long that takes.
//
// Call New, run Run in a goroutine, and give Event what happens. Begin says which job the next events belong to. Flush
// waits until the server has all of them.
//
// A Journal may be used by several goroutines at once. Each event has a number, from 1 on with none left out. Of
// reports of progress that the server does not have yet, only the newest is kept, so the queue stays short while the
// server is away.
package journal

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"griddle/appliance/job"
)

// Journal numbers events, shows them, and delivers each to the server. It is the install's Reporter.
type Journal struct {
	log  *slog.Logger
	boot string
	show func(job.Event)
	send func(context.Context, job.Events) (job.Acknowledged, error)

	mu     sync.Mutex
	seq    uint64
	acked  uint64
	flying uint64 // highest number that is on its way
	job    string // the job that runs
	queue  []job.Event
	wake   chan struct{} // closed and made anew at each change
	cancel func()        // called once if the operator takes the job back
}

// New makes the journal of a boot. show gets each event at once, and a warning of no job while the server accepts none;
// send gives events to the server.
func New(log *slog.Logger, boot string, show func(job.Event),
	send func(context.Context, job.Events) (job.Acknowledged, error)) *Journal {
	return &Journal{log: log, boot: boot, show: show, send: send, wake: make(chan struct{})}
}

// Event implements install.Reporter.
func (j *Journal) Event(e job.Event) { j.add(e) }

func (j *Journal) add(e job.Event) uint64 {
	j.mu.Lock()
	e.Time = time.Now().UTC()
	last := len(j.queue) - 1
	if last >= 0 && j.queue[last].Seq > j.flying && replaces(e, j.queue[last]) {
		// The server is slow or away: of a run of progress only the newest matters.
		e.Seq = j.queue[last].Seq
		j.queue[last] = e
	} else {
		j.seq++
		e.Seq = j.seq
		j.queue = append(j.queue, e)
	}
	j.changed()
	j.mu.Unlock()
	j.log.Info("event", "seq", e.Seq, "phase", e.Phase, "state", e.State, "message", e.Message)
	j.show(e)
	return e.Seq
}

// replaces says whether nobody needs old once there is e.
func replaces(e, old job.Event) bool {
	bare := func(e job.Event) bool { return e.Progress != nil && e.Message == "" && e.State == "" }
	return bare(e) && bare(old) && e.Phase == old.Phase && e.Job == old.Job
}

// changed wakes whoever waits; the lock is held.
func (j *Journal) changed() {
	close(j.wake)
	j.wake = make(chan struct{})
}

// Started implements install.Reporter.
func (j *Journal) Started(ctx context.Context, disk string) error {
	j.mu.Lock()
	id := j.job
	j.mu.Unlock()
	return j.Deliver(ctx, job.Event{Job: id, Phase: job.PhasePartition, Level: job.Info, State: job.Started, Disk: disk,
		Message: "the disk is " + disk})
}

// Deliver is Event, and waits until the server has it. It fails if ctx ended, also by the answer of the server.
func (j *Journal) Deliver(ctx context.Context, e job.Event) error {
	if err := j.delivered(ctx, j.add(e)); err != nil {
		return err
	}
	// The answer that acknowledged it may have taken the job back: then nothing may be written.
	return context.Cause(ctx)
}

// delivered waits until the server has event seq, or ctx ends.
func (j *Journal) delivered(ctx context.Context, seq uint64) error {
	for {
		j.mu.Lock()
		acked, wake := j.acked, j.wake
		j.mu.Unlock()
		if acked >= seq {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-wake:
		}
	}
}

// Flush waits for everything that has happened so far.
func (j *Journal) Flush(ctx context.Context) error {
	j.mu.Lock()
	seq := j.seq
	j.mu.Unlock()
	return j.delivered(ctx, seq)
}

// Run delivers until ctx ends.
func (j *Journal) Run(ctx context.Context) {
	pause := time.Second
	for ctx.Err() == nil {
		j.mu.Lock()
		batch, wake := j.queue[:min(len(j.queue), job.MaxEvents)], j.wake
		batch = append([]job.Event(nil), batch...)
		if len(batch) > 0 {
			j.flying = batch[len(batch)-1].Seq
		}
		j.mu.Unlock()
		if len(batch) == 0 {
			select {
			case <-ctx.Done():
			case <-wake:
			}
			continue
		}
		ack, err := j.send(ctx, job.Events{Boot: j.boot, Events: batch})
		if err == nil && ack.Seq < batch[0].Seq {
			err = fmt.Errorf("the server has only %d reports of this boot and does not accept report %d",
				ack.Seq, batch[0].Seq)
		}
		if err != nil {
			j.log.Warn("events not delivered", "error", err)
			// Work may be waiting for this, without end and with nothing else to show. It is of no job and no phase, so
			// that it stays one line of the log.
			j.show(job.Event{Time: time.Now().UTC(), Level: job.Warning,
				Message: job.Sentence(fmt.Sprintf("the server does not accept reports: %v; trying again", err))})
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
			pause = min(2*pause, 15*time.Second)
			continue
		}
		pause = time.Second
		j.acknowledge(ack)
	}
}

// Poll asks the server whether the job is over, when there is nothing to report: it sends an event again that the
// server has, which changes nothing there.
func (j *Journal) Poll(ctx context.Context) error {
	j.mu.Lock()
	id, seq := j.job, j.acked
	j.mu.Unlock()
	if id == "" || seq == 0 {
		return nil // what is on its way brings the same answer
	}
	ack, err := j.send(ctx, job.Events{Boot: j.boot, Events: []job.Event{{Seq: seq, Job: id}}})
	if err == nil {
		j.acknowledge(ack)
	}
	return err
}

// acknowledge drops what the server has.
func (j *Journal) acknowledge(ack job.Acknowledged) {
	j.mu.Lock()
	defer j.mu.Unlock()
	keep := j.queue[:0]
	for _, e := range j.queue {
		if e.Seq > ack.Seq {
			keep = append(keep, e)
		}
	}
	j.queue = keep
	if ack.Seq > j.acked {
		j.acked = ack.Seq
	}
	if ack.Cancelled && j.cancel != nil {
		j.cancel()
		j.cancel = nil
	}
	j.changed()
}

// Begin says which job the next events belong to, and what is to be called if it is taken back.
func (j *Journal) Begin(id string, cancel func()) {
	j.mu.Lock()
	j.job, j.cancel = id, cancel
	j.mu.Unlock()
}
