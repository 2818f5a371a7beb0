//go:build torture

package multicast_test

import (
	"net/http"
	"testing"
	"time"

	"griddle/imagestore/multicast"
	"griddle/imagestore/multicast/sender"
	"griddle/imagestore/multicast/testbed"
)

// A sender is killed and says nothing: machines go on by HTTP, which is slow here, ask again, and end in the session
// of its successor.
func TestSenderStartsAnew(t *testing.T) {
	r := newRoom(t, 2, 20<<20)
	base := r.serveSlowly(150_000)
	r.send(sender.Options{Machines: 2, Budget: multicast.NewBudget(3_000_000)})
	first := []multicast.Session{r.invite(), r.invite()}
	killed := r.sender
	done := make(chan fetched, 2)
	second := r.another(t, r.data, r.group)
	second.send(sender.Options{Machines: 2, Gather: 2 * time.Minute, Budget: multicast.NewBudget(6_000_000)})
	for i := range 2 {
		s := second.invite()
		go func() {
			done <- r.fetch(i, errand{HTTP: base, Answers: []multicast.Answer{{Session: &first[i]}, {Session: &s}}})
		}()
	}
	r.until("a fifth of it", func(s multicast.SessionStatus) bool { return s.Percent() >= 20 })
	killed.Stop()
	for range 2 {
		if g := <-done; g.Last.Multicast < int64(len(r.data))*3/4 || len(g.Asked) < 2 || g.Asked[1].Former == "" {
			t.Errorf("%+v after it asked %+v", g.Last, g.Asked)
		}
	}
}

// serveSlowly is serve for a network that has little room.
func (r *room) serveSlowly(rate int) string {
	return r.serveBy(func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) { h.ServeHTTP(&slowWriter{w, rate}, q) })
	})
}

type slowWriter struct {
	http.ResponseWriter
	rate int // bytes per second
}

func (s *slowWriter) Write(b []byte) (int, error) {
	time.Sleep(time.Duration(len(b)) * time.Second / time.Duration(s.rate))
	return s.ResponseWriter.Write(b)
}

// The network goes away for half a minute under machines that fetch, the origin's with it.
func TestNetworkGoneLong(t *testing.T) {
	r := newRoom(t, 2, 24<<20)
	base := r.serve()
	r.send(sender.Options{Machines: 2, Budget: multicast.NewBudget(4_000_000)})
	done := make(chan fetched, 2)
	for i := range 2 {
		s := r.invite()
		go func() {
			done <- r.fetch(i,
				errand{HTTP: base, Answers: []multicast.Answer{{Session: &s}, {Why: "no other machine"}}})
		}()
	}
	r.until("a third of it", func(s multicast.SessionStatus) bool { return s.Percent() >= 33 })
	for _, gone := range []float64{1, 0} {
		for _, h := range r.bed.Receivers {
			if err := h.Wire(t.Context(), testbed.Wire{Loss: gone}); err != nil {
				t.Fatal(err)
			}
		}
		if gone > 0 {
			time.Sleep(30 * time.Second) // the length of the outage
		}
	}
	for range 2 {
		if g := <-done; g.Last.Multicast == 0 || g.Last.HTTP == 0 {
			t.Errorf("ways: %+v", g.Last)
		}
	}
}
