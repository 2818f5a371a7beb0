package coordinator

import (
	"strings"
	"testing"

	"griddle/imagestore/multicast"
)

// A machine that does not relay, as one that people work on, gets HTTP where it would have to.
func TestNoRelay(t *testing.T) {
	d := newTestCoordinator(t, nil)
	for range 2 {
		a, err := d.Ask(t.Context(), Asker{Machine: "live", Expected: 3}, multicast.Ask{Encoding: d.big, Size: 3 << 20,
			Networks: []multicast.Network{afar}, NoRelay: true})
		if err != nil || a.Relay != nil || a.After != 0 || !strings.Contains(a.Why, "does not relay") {
			t.Errorf("it gets %+v, %v, want HTTP", a, err)
		}
	}
	if len(d.List()) != 0 {
		t.Errorf("the sessions are %+v", d.List())
	}
}
