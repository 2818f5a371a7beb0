package main

import (
	"context"
	"io"
	"sync"
	"time"

	"griddle/imagestore/multicast"
	"griddle/imagestore/multicast/relay"
)

// relaying is the stream that a machine reads for itself while it gives it to others.
type relaying struct {
	io.Reader
	spool  *relay.Spool
	cancel context.CancelFunc
	wg     sync.WaitGroup
	status chan struct{} // something was heard of the session

	mu    sync.Mutex
	busy  int  // neighbours that receive
	ended bool // the session is over
}

// neighbourWait is how long this machine's own install waits, when it has read everything, for neighbours that have
// not.
const neighbourWait = 5 * time.Minute

func (r *relaying) hear(st multicast.SessionStatus) {
	busy := 0
	for _, x := range st.Receivers {
		if x.State == "receiving" {
			busy++
		}
	}
	r.mu.Lock()
	r.busy = busy
	r.mu.Unlock()
	r.changed()
}

func (r *relaying) over() {
	r.mu.Lock()
	r.ended = true
	r.mu.Unlock()
	r.changed()
}

func (r *relaying) changed() {
	select {
	case r.status <- struct{}{}:
	default:
	}
}

// Close waits until no neighbour receives any more, for a while, and ends the session: what they miss then they get
// from the server.
func (r *relaying) Close() error {
	limit := time.NewTimer(neighbourWait)
	defer limit.Stop()
	for waiting := true; waiting; {
		r.mu.Lock()
		waiting = r.busy > 0 && !r.ended && r.spool.Verified() > 0
		r.mu.Unlock()
		if !waiting {
			break
		}
		select {
		case <-r.status:
		case <-limit.C:
			waiting = false
		}
	}
	r.cancel()
	r.wg.Wait()
	return r.spool.Close()
}
