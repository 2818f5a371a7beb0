package sender

import (
	"testing"
	"time"

	"griddle/imagestore/multicast/datagram"
)

// without is n with some receivers that left or are lost.
func (n conditions) without(left, lost int) conditions {
	n.left, n.lost = left, lost
	return n
}

// Each state ends, and as what.
func TestLifecycle(t *testing.T) {
	const s = time.Second
	ready := func(n int) conditions {
		return conditions{counts: counts{heard: n, ready: n, waiting: n}, first: s, idle: true}
	}
	type step struct {
		at   time.Duration
		n    conditions
		want datagram.State
		wait time.Duration
	}
	done := conditions{counts: counts{heard: 2, ready: 2, done: 2}, first: s, sentOnce: true, idle: true}
	missing := conditions{counts: counts{heard: 2, ready: 2, waiting: 1, done: 1}, first: s, sentOnce: true, idle: true}
	busy, fresh := missing, ready(2)
	busy.idle, fresh.idle = false, false
	lost := conditions{counts: counts{lost: 1, done: 1}, first: s, sentOnce: true, idle: true}
	for _, c := range []struct {
		name  string
		setup func(c *lifecycle)
		steps []step
		ended string
	}{
		{"nobody comes", nil, []step{{0, conditions{idle: true}, datagram.Gathering, 25 * s},
			{25 * s, conditions{idle: true}, datagram.Closed, 0}}, "no receiver came"},
		{"one comes", nil, []step{{2 * s, ready(1), datagram.Gathering, 14 * s},
			{16 * s, ready(1), datagram.Closed, 0}}, "only one receiver came, which uses HTTP"},
		{"one is enough for the operator", func(c *lifecycle) { c.forced = true },
			[]step{{0, conditions{idle: true}, datagram.Gathering, 25 * s}, {2 * s, ready(1), datagram.Running, 0}},
			""},
		{"one is all there are", func(c *lifecycle) { c.machines = 1 },
			[]step{{2 * s, ready(1), datagram.Running, 0}}, ""},
		{"as many as there are", func(c *lifecycle) { c.machines = 3 },
			[]step{{2 * s, ready(2), datagram.Gathering, 14 * s}, {3 * s, ready(3), datagram.Running, 0}}, ""},
		{"fewer than there are", func(c *lifecycle) { c.machines = 3 },
			[]step{{16 * s, ready(2), datagram.Running, 0}}, ""},
		{"all that are known to come", func(c *lifecycle) { c.awaited = 3 },
			[]step{{2 * s, ready(2), datagram.Gathering, 14 * s}, {3 * s, ready(3), datagram.Running, 0}}, ""},
		{"all but one that left", func(c *lifecycle) { c.awaited = 3 },
			[]step{{2 * s, ready(2), datagram.Gathering, 14 * s}, {3 * s, ready(2).without(1, 0), datagram.Running, 0}},
			""},
		{"all but one that is lost", func(c *lifecycle) { c.awaited = 3 },
			[]step{{3 * s, ready(2).without(0, 1), datagram.Running, 0}}, ""},
		{"one, and the others left", func(c *lifecycle) { c.awaited = 3 },
			[]step{{3 * s, ready(1).without(2, 0), datagram.Closed, 0}}, "only one receiver came, which uses HTTP"},
		{"all left", func(c *lifecycle) { c.awaited = 2 },
			[]step{{3 * s, conditions{idle: true}.without(2, 0), datagram.Closed, 0}}, "no receiver came"},
		{"fewer than are known to come", func(c *lifecycle) { c.awaited = 3 },
			[]step{{16 * s, ready(2), datagram.Running, 0}}, ""},
		{"all are done", nil, []step{{16 * s, ready(2), datagram.Running, 0}, {17 * s, fresh, datagram.Running, 0},
			{30 * s, done, datagram.Repairing, 0},
			{30 * s, done, datagram.Closed, 0}}, "no receiver asks for more"},
		{"all are done just now", nil, []step{{16 * s, ready(2), datagram.Running, 0},
			{29 * s, fresh, datagram.Running, 0}, {30 * s, done, datagram.Repairing, 0},
			{30 * s, done, datagram.Lingering, s}, {31 * s, done, datagram.Closed, 0}}, "no receiver asks for more"},
		{"somebody late", nil, []step{{16 * s, ready(2), datagram.Running, 0}, {29 * s, fresh, datagram.Running, 0},
			{30 * s, missing, datagram.Repairing, 0},
			{31 * s, missing, datagram.Lingering, 28 * s}, {40 * s, busy, datagram.Repairing, 0},
			{41 * s, missing, datagram.Lingering, 29 * s}, {70 * s, missing, datagram.Closed, 0}},
			"no receiver asks for more"},
		{"somebody vanished", nil, []step{{16 * s, ready(2), datagram.Running, 0},
			{29 * s, fresh, datagram.Running, 0}, {30 * s, lost, datagram.Repairing, 0},
			{30 * s, lost, datagram.Lingering, 29 * s}, {59 * s, lost, datagram.Closed, 0}},
			"no receiver asks for more"},
		{"a relay without a source", nil, []step{{16 * s, ready(2), datagram.Running, 0},
			{75 * s, ready(2), datagram.Running, 0}, {76 * s, ready(2), datagram.Closed, 0}},
			"no more bytes of the encoding came"},
		{"held", func(c *lifecycle) { c.state = datagram.Running; c.hold(10*s, 2*time.Hour) },
			[]step{{11 * s, fresh, datagram.Held, 3599 * s}, {3610 * s, fresh, datagram.Running, 0}}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := lifecycle{gather: 15 * s, linger: 30 * s, state: datagram.Gathering}
			if c.setup != nil {
				c.setup(&got)
			}
			for _, st := range c.steps {
				if wait := got.step(st.at, st.n); got.state != st.want || wait != st.wait {
					t.Fatalf("at %v: %v for %v, want %v for %v", st.at, got.state, wait, st.want, st.wait)
				}
			}
			if got.why != c.ended {
				t.Errorf("it ended because %q, want %q", got.why, c.ended)
			}
		})
	}
}

func TestHold(t *testing.T) {
	c := lifecycle{state: datagram.Running}
	c.hold(time.Second, 0)
	if c.state != datagram.Running {
		t.Errorf("resuming what runs makes it %v", c.state)
	}
	c.hold(time.Second, time.Minute)
	c.hold(2*time.Second, time.Minute)
	c.hold(3*time.Second, 0)
	if c.step(3*time.Second, conditions{}); c.state != datagram.Running {
		t.Errorf("it goes on as %v", c.state)
	}
	c.close("test")
	if c.hold(4*time.Second, time.Minute); c.state != datagram.Closed {
		t.Errorf("a hold makes a closed session %v", c.state)
	}
}
