package tftp

import (
	"net/netip"
	"testing"
	"time"
)

func TestTable(t *testing.T) {
	start := time.Unix(1_000_000, 0)
	at := func(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }
	var ended []string
	tb := newTable(3)
	enter := func(client string, second int) *place {
		return tb.enter(at(client), request{name: "f"}, start.Add(time.Duration(second)*time.Second), func() {
			ended = append(ended, client)
		})
	}
	expect := func(want ...string) {
		t.Helper()
		if len(ended) != len(want) || len(want) > 0 && ended[0] != want[0] {
			t.Errorf("ended %q, want %q", ended, want)
		}
		ended = nil
	}

	a := enter("10.0.0.1:1", 0)
	tb.answer(a, start)
	enter("10.0.0.1:2", 1)
	enter("10.0.0.2:1", 2)
	expect()
	// Full: the oldest that never answered goes, not the older one that did.
	b := enter("10.0.0.3:1", 3)
	expect("10.0.0.1:2")
	tb.answer(b, start.Add(3*time.Second))
	// One address that answers with everything it has.
	for i, c := range []string{"10.0.0.9:1", "10.0.0.9:2", "10.0.0.9:3"} {
		if p := enter(c, 4+i); p != nil {
			tb.answer(p, start.Add(time.Duration(4+i)*time.Second))
		}
	}
	// 10.0.0.2:1 had not answered and made room for the first; then three answer, each of an address of its own.
	expect("10.0.0.2:1")
	if len(tb.by) != 3 {
		t.Fatalf("%d transfers, want 3", len(tb.by))
	}
	// The same socket again takes its own place over.
	if p := tb.enter(at("10.0.0.1:1"), request{name: "g"}, start, func() {}); p == nil {
		t.Error("the machine that started again has no place")
	}
	expect("10.0.0.1:1")
	tb.leave(a) // its place is another's
	if len(tb.by) != 3 || tb.from[netip.MustParseAddr("10.0.0.1")] != 1 {
		t.Errorf("after a stale leave: %d transfers", len(tb.by))
	}
}

// An address that holds every place, and answers, makes room for others.
func TestTableShares(t *testing.T) {
	start := time.Unix(1_000_000, 0)
	tb := newTable(10)
	ended := 0
	for i := range 10 {
		p := tb.enter(netip.AddrPortFrom(netip.MustParseAddr("10.0.0.9"), uint16(i+1)), request{}, start, func() {
			ended++
		})
		tb.answer(p, start)
	}
	if p := tb.enter(netip.MustParseAddrPort("10.0.0.9:99"), request{}, start, nil); p != nil {
		t.Error("an address took a place of its own")
	}
	for i := range 5 {
		p := tb.enter(netip.AddrPortFrom(netip.MustParseAddr("10.0.0.1"), uint16(i+1)), request{}, start, nil)
		if p == nil {
			t.Fatalf("transfer %d of the second address has no place", i)
		}
		tb.answer(p, start)
	}
	if ended != 5 {
		t.Errorf("%d transfers made room, want 5", ended)
	}
	if p := tb.enter(netip.MustParseAddrPort("10.0.0.1:99"), request{}, start, nil); p != nil {
		t.Error("the second address took more than its half")
	}
}
