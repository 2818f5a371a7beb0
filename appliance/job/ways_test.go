package job

import (
	"testing"
	"time"
)

func TestWays(t *testing.T) {
	for _, c := range []struct {
		w    Ways
		want string
	}{
		{Ways{}, ""},
		{Ways{Now: "http", HTTP: 5}, "100 % HTTP"},
		{Ways{Now: "http", HTTP: 5, Why: "no other machine wants it now"},
			"100 % HTTP; no multicast: no other machine wants it now"},
		{Ways{Now: "waiting", Wait: 7400 * time.Millisecond}, "waiting for other machines with this image, at most 7s"},
		{Ways{Now: "multicast", Multicast: 90, HTTP: 10, Machines: 12, Loss: 0.0123},
			"90 % multicast, 10 % HTTP; to 12 machines at once, 1.2 % lost and repaired"},
		{Ways{Now: "relay", Multicast: 1, Relay: 1, HTTP: 2, Why: "evil\x1b[2J"},
			"25 % multicast, 25 % HTTP from a neighbour, 50 % HTTP; no multicast: evil [2J"},
	} {
		if got := c.w.String(); got != c.want {
			t.Errorf("%+v reads as %q, want %q", c.w, got, c.want)
		}
	}
}
