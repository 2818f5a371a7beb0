package main

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"griddle/appliance/job"
	"griddle/tui"
)

// TestUntilAnother: the job that failed is not begun again by itself, another one is.
func TestUntilAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked, began := 0, time.Now()
		waitForAnother(t.Context(), nil, "failed", func() string {
			asked++
			return []string{"failed", "", "failed", "another"}[asked-1]
		})
		if asked != 4 || time.Since(began) != 40*time.Second {
			t.Errorf("asked %d times in %s, want 4 in 40 s", asked, time.Since(began))
		}
		retry := make(chan struct{}, 1)
		retry <- struct{}{}
		waitForAnother(t.Context(), retry, "failed", func() string {
			t.Error("asked though somebody wants another try")
			return ""
		})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		waitForAnother(ctx, nil, "failed", func() string { return "" })
	})
}

// The page is replaced when an operator has approved the boot, and not while everything is as before: a person may be
// reading it.
func TestChanged(t *testing.T) {
	waiting := tui.Found{Welcome: job.Welcome{Approval: &job.Settings{State: job.Waiting, Code: "7K4M-QX2D"}}}
	same := tui.Found{Welcome: job.Welcome{Approval: &job.Settings{State: job.Waiting, Code: "7K4M-QX2D"}}}
	approved := tui.Found{Welcome: job.Welcome{Images: []job.ImageChoice{{Ref: "web:1@amd64"}}}}
	ordered := tui.Found{Welcome: job.Welcome{Job: &job.Spec{}}}
	disk := tui.Found{Inventory: job.Inventory{Disks: []job.Disk{{Path: "/dev/sda"}}}}
	for name, c := range map[string]struct {
		old, next tui.Found
		want      bool
	}{
		"as before": {waiting, same, false},
		"approved":  {waiting, approved, true},
		"waits now": {approved, waiting, true},
		"a job":     {waiting, ordered, true},
		"a disk":    {tui.Found{}, disk, true},
		"nothing":   {approved, approved, false},
	} {
		if got := changed(c.old, c.next); got != c.want {
			t.Errorf("%s: %t, want %t", name, got, c.want)
		}
	}
}
