package main

import (
	"os"
	"slices"
	"syscall"
	"testing"
)

// TestEndSignals tells which command a closed terminal ends.
func TestEndSignals(t *testing.T) {
	for _, c := range []struct {
		args    []string
		ignored bool
		want    bool
	}{
		{[]string{"publish", "lxc:web", "web"}, false, true},
		{[]string{"image", "pull"}, false, true},
		{[]string{"publish"}, true, false},
		{[]string{"serve"}, false, false},
	} {
		if got := slices.Contains(endSignals(c.args, c.ignored), os.Signal(syscall.SIGHUP)); got != c.want {
			t.Errorf("endSignals(%v, %v) has SIGHUP: %v, want %v", c.args, c.ignored, got, c.want)
		}
	}
}
