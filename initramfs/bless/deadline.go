package bless

import (
	"context"
	"fmt"
	"strings"
	"time"

	"griddle/initramfs/pool/history"
	"griddle/initramfs/restart"

	"golang.org/x/sys/unix"
)

// Deadline begins the trial, and restarts the machine if ctx does not end within limit: the unit ends it once the root
// is blessed. The restart is an orderly one if the system can do that, and comes a while later by force; at once if
// process 1 is dead.
func Deadline(ctx context.Context, o Options, limit time.Duration) error {
	o = o.filled()
	end := time.Now().Add(limit)
	begun := make(chan struct{})
	go func() { // a pool that does not answer does not stop the clock
		defer close(begun)
		if !o.begin(ctx, end) {
			o.Log.Warn("the trial is not written down: the pool was not found")
		}
	}()
	if o.Wait(ctx, time.Until(end)); ctx.Err() != nil {
		select {
		case <-begun:
		case <-time.After(beginTime):
		}
		return nil
	}
	now := state(ctx)
	f := Fault{Reason: fmt.Sprintf("it did not pass its trial within %v: %s", limit, now)}
	o.Log.Error("this root failed, restarting", "reason", f.Reason)
	written := make(chan error, 1)
	go func() { written <- o.report(ctx, f) }()
	select {
	case err := <-written:
		if err != nil {
			o.Log.Error("the reason is not written down", "error", err)
		}
	case <-time.After(reportTime):
		o.Log.Error("the reason is not written down: the pool does not answer")
	}
	if ctx.Err() != nil { // it was blessed in the last moment
		return nil
	}
	err := restart.Firmware(ctx)
	if err != nil {
		o.Log.Error("systemd does not restart the machine", "error", err)
	}
	if err == nil || now != silent {
		o.Wait(ctx, stopTime)
	}
	return o.Reset()
}

// How long the report may take, and then the end of the system, before the restart by force.
const reportTime, stopTime = time.Minute, 90 * time.Second

// beginTime is how long a root that is blessed early waits for the pool to have that the trial began.
const beginTime = 10 * time.Second

// reset restarts the machine by force.
func reset() error {
	synced := make(chan struct{})
	go func() { unix.Sync(); close(synced) }()
	select {
	case <-synced:
	case <-time.After(10 * time.Second):
	}
	return unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
}

// begin writes down that the trial began. It comes so early that the pool's devices may take a while. It tries once at
// least, also for a root that is blessed by then.
func (o Options) begin(ctx context.Context, end time.Time) bool {
	for {
		err := o.with(func(r running) error {
			if err := writeTrial(r.record, r.trial()); err != nil {
				return err
			}
			return history.Append(r.record, history.Event{Kind: history.Started, Root: r.Name, Image: r.Image})
		})
		if err == nil {
			return true
		}
		o.Log.Warn("the trial is not written down yet", "error", err)
		if o.Wait(ctx, again); ctx.Err() != nil || !time.Now().Before(end) {
			return false
		}
	}
}

// silent is the state of a systemd that is dead.
const silent = "systemd does not answer"

// state is what systemd says about itself.
func state(ctx context.Context) string {
	switch s := strings.Join(ask(ctx, "systemctl", "is-system-running"), ""); s {
	case "maintenance":
		return "it is in emergency or rescue mode"
	case "initializing", "starting":
		if jobs := waiting(ask(ctx, "systemctl", "list-jobs", "--plain", "--no-legend")); len(jobs) > 0 {
			return "it still waits for " + strings.Join(jobs, ", ")
		}
		return "it is still starting"
	case "running", "degraded":
		return "it is up, but it was not blessed"
	case "":
		return silent
	default:
		return "systemd says " + s
	}
}

// waiting are the units whose jobs run, in a list of jobs: number, unit, type, state.
func waiting(list []string) []string {
	var out []string
	for _, l := range list {
		if f := strings.Fields(l); len(f) == 4 && f[3] == "running" {
			out = append(out, f[1])
		}
	}
	return out
}
