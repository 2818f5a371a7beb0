package coordinator

import (
	"testing"
	"time"
)

// A session waits for the machines that are known to come, as long as they may take.
func TestWaitsForThoseWhoCome(t *testing.T) {
	coming := func(name string, others ...string) Asker {
		return Asker{Machine: name, Expected: 1 + len(others), Coming: others, Patience: 6 * time.Minute}
	}
	for _, c := range []struct {
		name string
		asks []Asker
		want []int         // that the session waits for, after each
		wait time.Duration // of the first receiver, and how much longer it may take to get ready
	}{
		{"all come", []Asker{coming("a", "b", "c"), coming("b", "c"), coming("c")}, []int{3, 3, 3},
			370 * time.Second},
		{"one fails before it asks", []Asker{coming("a", "b", "c"), coming("b")}, []int{3, 2}, 370 * time.Second},
		{"one more is ordered", []Asker{coming("a", "b"), coming("b", "c")}, []int{2, 3}, 370 * time.Second},
		{"one asks again", []Asker{coming("a", "b"), coming("a", "b")}, []int{2, 2}, 370 * time.Second},
		{"another one installs", []Asker{coming("a", "b"), {Machine: "x", Expected: 1}}, []int{2, 3},
			370 * time.Second},
		{"it is not known who comes", []Asker{{Machine: "x", Expected: 2}}, []int{1}, 20 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newTestCoordinator(t, func(o *Options) { o.Gather = 10 * time.Second })
			for i, who := range c.asks {
				a := d.ask(who, d.big, 3<<20, near127)
				if a.Session == nil {
					t.Fatalf("%s gets %+v", who.Machine, a)
				}
				if got := d.sessions[a.Session.ID].awaited(); got != c.want[i] {
					t.Errorf("after %s it waits for %d machines, want %d", who.Machine, got, c.want[i])
				}
			}
			all := d.List()
			for ; len(all) == 1 && all[0].Status.Wait == 0; all = d.List() { // until the sender has looked once
				time.Sleep(time.Millisecond)
			}
			if len(all) != 1 || all[0].Status.Wait > c.wait || all[0].Status.Wait < c.wait-15*time.Second {
				t.Errorf("the sessions are %+v, want one that waits for about %v", all, c.wait)
			}
		})
	}
}
