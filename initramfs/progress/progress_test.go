package progress

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"griddle/appliance/job"
)

// journal keeps the events.
type journal struct {
	mu     sync.Mutex
	events []job.Event
}

func (j *journal) Event(e job.Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.events = append(j.events, e)
}

func (j *journal) last() job.Event { return j.events[len(j.events)-1] }

func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var done, wire atomic.Int64
		j := &journal{}
		stop := Follow(Phase{Phase: job.PhaseReceive, Total: 1000, Done: done.Load, Wire: wire.Load, Event: j.Event})
		begin := time.Now()
		for range 8 { // 50 raw and 20 wire bytes a second, in steps
			time.Sleep(time.Second)
			done.Add(50)
			wire.Add(20)
		}
		synctest.Wait()
		if n := len(j.events); n != 16 && n != 15 {
			t.Errorf("%d events in %v, want two a second", n, time.Since(begin))
		}
		p := j.last().Progress
		if p.DiskBps < 40 || p.DiskBps > 60 || p.WireBps < 15 || p.WireBps > 25 || p.Left < 10*time.Second ||
			p.Left > 17*time.Second || p.Stalled {
			t.Errorf("progress = %+v, want 50 and 20 bytes a second and about 13 s left", p)
		}
		time.Sleep(11 * time.Second)
		synctest.Wait()
		if p := j.last().Progress; !p.Stalled || p.DiskBps != 0 || p.Left >= 0 {
			t.Errorf("progress after 11 s of silence = %+v, want stalled, and nobody knows how long", p)
		}
		done.Store(1000)
		stop()
		if p := j.last().Progress; p.Done != 1000 || p.Left != 0 || p.Stalled {
			t.Errorf("last progress = %+v, want all done", p)
		}
	})
}
