// Package progress reports how far a phase of a job is: counts of bytes, their rates, and the time that is left.
//
// Call Follow at the beginning of a phase that moves bytes, and what it returns at the end.
package progress

import (
	"time"

	"griddle/appliance/job"
)

const (
	tick   = 500 * time.Millisecond // between two events of progress
	window = 5 * time.Second        // that rates are taken over
	stall  = 10 * time.Second       // without a byte
)

// meter turns counts of bytes into rates. The zero value is ready.
type meter struct {
	samples []sample // of the last window, oldest first
	moved   time.Time
}

type sample struct {
	at         time.Time
	done, wire int64
}

// add takes the counts at a moment and returns how far the phase is.
func (m *meter) add(now time.Time, done, total, wire int64) job.Progress {
	if n := len(m.samples); n == 0 || m.samples[n-1].done != done || m.samples[n-1].wire != wire {
		m.moved = now
	}
	m.samples = append(m.samples, sample{now, done, wire})
	for len(m.samples) > 2 && now.Sub(m.samples[1].at) >= window {
		m.samples = m.samples[1:]
	}
	p := job.Progress{Done: done, Total: total, Wire: wire, Left: -1, Stalled: now.Sub(m.moved) >= stall}
	first := m.samples[0]
	if t := now.Sub(first.at).Seconds(); t > 0 {
		p.WireBps = float64(wire-first.wire) / t
		p.DiskBps = float64(done-first.done) / t
	}
	switch {
	case done >= total:
		p.Left = 0
	case p.DiskBps > 0:
		p.Left = time.Duration(float64(total-done) / p.DiskBps * float64(time.Second)).Round(time.Second)
	}
	return p
}

// Phase is a phase that moves bytes. The functions are called from a goroutine of their own.
type Phase struct {
	Job   string
	Phase job.Phase
	Total int64            // raw bytes in all
	Done  func() int64     // raw bytes so far
	Wire  func() int64     // encoded bytes received over the network so far
	Ways  func() *job.Ways // how they were received; nil if no one knows
	Event func(job.Event)
}

// Follow reports progress at most twice a second, and once at the end, until the function that it returns is called.
func Follow(p Phase) (stop func()) {
	quit, ended := make(chan struct{}), make(chan struct{})
	var m meter
	report := func() {
		now := m.add(time.Now(), p.Done(), p.Total, p.Wire())
		if p.Ways != nil {
			now.Ways = p.Ways()
		}
		p.Event(job.Event{Job: p.Job, Phase: p.Phase, Level: job.Info, Progress: &now})
	}
	go func() {
		defer close(ended)
		t := time.NewTicker(tick)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				report()
			case <-quit:
				report()
				return
			}
		}
	}()
	return func() {
		close(quit)
		<-ended
	}
}
