package action

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"time"

	"griddle/appliance/job"
	"griddle/initramfs/resident/order"
)

// NoRuns is a file on a machine that forbids programs of the server there, whatever it has.
const NoRuns = "/etc/griddle/no-run"

// Forbidden says whether the machine forbids programs of the server. A file that cannot be looked at forbids them too.
func Forbidden(file string) bool {
	_, err := os.Lstat(file)
	return !errors.Is(err, fs.ErrNotExist)
}

// program runs a program line once. What was begun in an earlier run is not run again: that ended in a way that no one
// saw.
func (r *run) program(ctx context.Context, spec job.Spec) error {
	begun, fresh, err := r.begin()
	if err != nil {
		return err
	}
	switch {
	case !fresh:
		when := "the unit that ran it was ended"
		if begun.Boot != r.Boot {
			when = "the machine was restarted"
		}
		return r.end(order.Result{State: order.Failed, Phase: job.PhaseRun,
			Message: "the program was started, and its end is not known: " + when + " meanwhile; it is not run again"})
	case Forbidden(r.NoRuns):
		return r.fail(job.PhaseRun, fmt.Sprintf("this machine runs no programs of the server: it has %s", r.NoRuns))
	}
	limit := spec.RunLimit()
	r.tell(job.PhaseRun, fmt.Sprintf("running %s, for %s at most", job.Words(spec.Argv), limit))
	work, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		for r.wait(work, r.Look) {
		}
		stop()
	}()
	out := &tail{}
	code, err := r.Exec(work, r.id, spec.Argv, limit, out)
	if ctx.Err() != nil || !r.waits() {
		return nil // the system shuts down, or the order was taken back, and the program was ended
	}
	if err != nil {
		return r.fail(job.PhaseRun, err.Error())
	}
	end := order.Result{State: order.Done, Phase: job.PhaseRun,
		Ran: &job.Ran{Exit: code, Output: out.last(), Cut: out.cut}}
	end.Message = end.Ran.String()
	return r.end(end)
}

// tail keeps the last job.MaxOutput bytes that are written to it.
type tail struct {
	b   []byte
	cut int64
}

func (t *tail) Write(b []byte) (int, error) {
	t.b = append(t.b, b...)
	if n := len(t.b) - 2*job.MaxOutput; n > 0 {
		t.drop(len(t.b) - job.MaxOutput)
	}
	return len(b), nil
}

func (t *tail) drop(n int) {
	t.cut += int64(n)
	t.b = append(t.b[:0], t.b[n:]...)
}

func (t *tail) last() []byte {
	if n := len(t.b) - job.MaxOutput; n > 0 {
		t.drop(n)
	}
	return bytes.Clone(t.b)
}

// stopTime is how long systemd may take to end a program and all that it started.
const stopTime = 2 * time.Minute

// Systemd runs a program line as a unit of its own, outside the unit of this program: with the mounts, /tmp and
// priority of any service, as root, without input. When the limit is over, or ctx ends, systemd ends the program with
// all that it started. What it says goes to out. Source: systemd-run(1).
func Systemd(ctx context.Context, id string, argv []string, limit time.Duration, out io.Writer) (exit int, err error) {
	unit := "griddle-run-" + id
	args := []string{"--quiet", "--collect", "--wait", "--pipe", "--unit=" + unit,
		"--description=A program line of the Griddle server", "--property=WorkingDirectory=/",
		fmt.Sprintf("--property=RuntimeMaxSec=%d", int(limit/time.Second)), "--"}
	for _, a := range argv {
		args = append(args, strings.ReplaceAll(a, "$", "$$")) // systemd.service(5): it would replace variables
	}
	call, cancel := context.WithTimeout(ctx, limit+stopTime)
	defer cancel()
	cmd := exec.CommandContext(call, "systemd-run", args...)
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = out, out, 5*time.Second
	begin := time.Now()
	err = cmd.Run()
	if call.Err() != nil {
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
		defer cancel()
		_ = exec.CommandContext(stop, "systemctl", "--quiet", "stop", unit+".service").Run()
		return 0, fmt.Errorf("the program was ended after %s", time.Since(begin).Round(time.Second))
	}
	var failed *exec.ExitError
	switch {
	case err != nil && !errors.As(err, &failed):
		return 0, fmt.Errorf("starting the program: %w", err)
	case err != nil && time.Since(begin) >= limit:
		return 0, fmt.Errorf("the program was not done after %s, and was ended", limit)
	}
	return cmd.ProcessState.ExitCode(), nil
}
