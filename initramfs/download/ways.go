package download

import (
	"sync"

	"griddle/appliance/job"
	"griddle/imagestore/multicast/receiver"
)

// Ways adds up which ways the bytes of all streams came, and knows where they may wait. The zero value works.
type Ways struct {
	mu    sync.Mutex
	base  job.Ways // of the streams that are through
	last  receiver.Progress
	spool string
	heard bool
}

// Tell gets the progress of one stream at a time.
func (w *Ways) Tell(p receiver.Progress) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if l := w.last; p.Multicast < l.Multicast || p.HTTP < l.HTTP || p.Relay < l.Relay {
		w.base.Multicast += l.Multicast
		w.base.Repair += l.Repair
		w.base.HTTP += l.HTTP
		w.base.Relay += l.Relay
	}
	w.last, w.heard = p, true
}

// Now implements install.Options.Ways: nil as long as no one knows.
func (w *Ways) Now() *job.Ways {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.heard {
		return nil
	}
	l := w.last
	return &job.Ways{
		Now: l.Way, Multicast: w.base.Multicast + l.Multicast, Repair: w.base.Repair + l.Repair,
		Relay: w.base.Relay + l.Relay, HTTP: w.base.HTTP + l.HTTP, Machines: l.Receivers, Loss: l.Loss, Wait: l.Wait,
		Why: job.Sentence(l.Why),
	}
}

// UseSpool implements install.Options.Spool.
func (w *Ways) UseSpool(dir string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.spool = dir
}

// SpoolDir is the folder that UseSpool got last, "" for none.
func (w *Ways) SpoolDir() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.spool
}
