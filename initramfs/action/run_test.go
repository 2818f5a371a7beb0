package action

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"griddle/appliance/job"
	"griddle/imagestore/durable"
	"griddle/imagestore/durable/durabletest"
	"griddle/initramfs/resident/order"
)

func line(id string, argv ...string) job.Spec {
	return job.Spec{ID: id, Kind: job.Run, Argv: argv, Limit: 5}
}

// A program runs once, and what it said and its exit code go to the server.
func TestRun(t *testing.T) {
	m := &machine{orders: order.Open(t.TempDir(), t.TempDir())}
	m.exec = func(_ context.Context, out io.Writer) (int, error) {
		fmt.Fprint(out, "no such\x1b[2J unit\n")
		return 4, nil
	}
	give(t, m.orders, line(one, "systemctl", "restart", "x"))
	if err := m.unit(t); err != nil {
		t.Fatal(err)
	}
	a := m.orders.Acted()
	if len(m.ran) != 1 || m.ran[0] != one+" systemctl restart x" || a.State != order.Done || a.Ran.Exit != 4 ||
		string(a.Ran.Output) != "no such\x1b[2J unit\n" || a.Message != "the program failed with the exit code 4" {
		t.Errorf("it ran %q, and the end is %+v, %+v", m.ran, a, a.Ran)
	}
	give(t, m.orders, line(one, "systemctl", "restart", "x"))
	if err := m.unit(t); err != nil || len(m.ran) != 1 {
		t.Errorf("the same order ran %q, %v", m.ran, err)
	}
	m.exec = func(context.Context, io.Writer) (int, error) { return 0, errors.New("no such program") }
	give(t, m.orders, line(two, "x"))
	if err := m.unit(t); err != nil || m.orders.Acted().State != order.Failed ||
		m.orders.Acted().Message != "no such program" {
		t.Errorf("a program that does not start: %v, %+v", err, m.orders.Acted())
	}
}

// A machine that forbids it runs nothing.
func TestRunForbidden(t *testing.T) {
	file := filepath.Join(t.TempDir(), "no-run")
	if Forbidden(file) {
		t.Error("without the file it is forbidden")
	}
	if err := os.Symlink("nowhere", file); err != nil {
		t.Fatal(err)
	}
	m := &machine{orders: order.Open(t.TempDir(), t.TempDir()), noRuns: file}
	give(t, m.orders, line(one, "true"))
	if err := m.unit(t); err != nil || len(m.ran) != 0 || m.orders.Acted().State != order.Failed ||
		!strings.Contains(m.orders.Acted().Message, "runs no programs of the server") {
		t.Errorf("it ran %q, %v, %+v", m.ran, err, m.orders.Acted())
	}
}

// An order that is taken back ends its program; a shutdown leaves the order, and the program is not run again.
func TestRunEnds(t *testing.T) {
	m := &machine{orders: order.Open(t.TempDir(), t.TempDir())}
	m.exec = func(ctx context.Context, _ io.Writer) (int, error) {
		if err := m.orders.Withdraw(one); err != nil {
			return 0, err
		}
		<-ctx.Done()
		return 0, ctx.Err()
	}
	give(t, m.orders, line(one, "sleep", "60"))
	if err := m.unit(t); err != nil || m.orders.Acted() != nil {
		t.Errorf("taken back: %v, %+v", err, m.orders.Acted())
	}
	ctx, stop := context.WithCancel(t.Context())
	give(t, m.orders, line(two, "reboot"))
	err := Run(ctx, Options{Orders: m.orders, Boot: "boot0", Look: time.Millisecond, NoRuns: "/does/not/exist",
		Log: nolog, Exec: func(context.Context, string, []string, time.Duration, io.Writer) (int, error) {
			stop()
			return 0, nil
		}})
	if w, err2 := m.orders.Waiting(); err != nil || err2 != nil || w == nil || m.orders.Acted() != nil {
		t.Fatalf("a shutdown: %v, %v, %+v, %+v", err, err2, w, m.orders.Acted())
	}
	m.boots, m.ran = 1, nil
	if err := m.unit(t); err != nil || len(m.ran) != 0 || m.orders.Acted().State != order.Failed ||
		!strings.Contains(m.orders.Acted().Message, "its end is not known: the machine was restarted") {
		t.Errorf("after it: ran %q, %v, %+v", m.ran, err, m.orders.Acted())
	}
}

// TestRunCut cuts the power at each file operation of a run, before and after the program. It never runs twice, and the
// server hears of an end: the real one, or that it is not known.
func TestRunCut(t *testing.T) {
	off := errors.New("the power is off")
	for n := 0; ; n++ {
		dir := t.TempDir()
		disk, err := durabletest.Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		hit := false
		tape := &durabletest.Tape{Root: dir, Fault: func(i int, _ *durable.Op) error {
			if i < n {
				return nil
			}
			hit = true
			return off
		}}
		m := &machine{orders: order.OpenOn(tape.Disk(), dir, t.TempDir()),
			exec: func(context.Context, io.Writer) (int, error) { return 0, nil }}
		turn := func() error { return errors.Join(m.checkIn(line(one, "true"), job.CheckedIn{}), m.unit(t)) }
		for range 4 {
			if err := turn(); err != nil {
				break
			}
		}
		disk.Apply(tape.Ops()...)
		after := t.TempDir()
		if err := disk.PowerCut(after, rand.New(rand.NewPCG(uint64(n), 1)), float64(n%4)/3); err != nil {
			t.Fatal(err)
		}
		m.boots++
		m.orders = order.Open(after, t.TempDir())
		for range 5 {
			if err := turn(); err != nil {
				t.Fatalf("after a power cut at operation %d: %v", n, err)
			}
		}
		w, err := m.orders.Waiting()
		done, unknown := strings.HasPrefix(m.last(), "done"), strings.Contains(m.last(), "its end is not known")
		if len(m.ran) > 1 || !done && !unknown || done && len(m.ran) != 1 || w != nil || err != nil {
			t.Errorf("after a power cut at operation %d it ran %d times, the server heard %q, left is %+v, %v", n,
				len(m.ran), m.heard, w, err)
		}
		if !hit {
			if n < 10 {
				t.Errorf("a run has %d operations", n)
			}
			return
		}
	}
}

// The last bytes are kept, and the others counted.
func TestTail(t *testing.T) {
	var all []byte
	out := &tail{}
	for i := range 5000 {
		b := fmt.Appendf(nil, "%d lines\n", i)
		all = append(all, b...)
		if n, err := out.Write(b); n != len(b) || err != nil {
			t.Fatal(n, err)
		}
		if len(out.b) > 3*job.MaxOutput {
			t.Fatalf("it holds %d bytes", len(out.b))
		}
	}
	last := out.last()
	if !bytes.Equal(last, all[len(all)-job.MaxOutput:]) || out.cut != int64(len(all)-job.MaxOutput) {
		t.Errorf("it kept %d bytes, and counted %d", len(last), out.cut)
	}
}

// TestSystemd calls a systemd-run that does what it is told, without systemd.
func TestSystemd(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir+":/usr/bin:/bin")
	asked, stopped := filepath.Join(dir, "asked"), filepath.Join(dir, "stopped")
	for name, script := range map[string]string{
		"systemd-run": "echo \"$@\" >" + asked + "\nwhile [ \"$1\" != -- ]; do shift; done\nshift\n\"$@\"",
		"systemctl":   "echo \"$@\" >" + stopped,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	out := &tail{}
	code, err := Systemd(t.Context(), one, []string{"sh", "-c", "echo $$A; echo b >&2; exit 7"}, time.Hour, out)
	if err != nil || code != 7 || !strings.HasSuffix(string(out.last()), "A\nb\n") {
		t.Errorf("Systemd = %d, %v, %q", code, err, out.last())
	}
	want := "--quiet --collect --wait --pipe --unit=griddle-run-" + one + " --description=A program line of the " +
		"Griddle server --property=WorkingDirectory=/ --property=RuntimeMaxSec=3600 -- " +
		"sh -c echo $$$$A; echo b >&2; exit 7\n"
	if b, err := os.ReadFile(asked); err != nil || string(b) != want {
		t.Errorf("systemd-run was called with %q, %v, want %q", b, err, want)
	}
	if _, err := Systemd(t.Context(), one, []string{"false"}, 0, out); err == nil ||
		!strings.Contains(err.Error(), "was not done after") {
		t.Errorf("at its limit: %v", err)
	}
	ctx, stop := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer stop()
	if _, err := Systemd(ctx, one, []string{"sleep", "60"}, time.Hour, out); err == nil ||
		!strings.Contains(err.Error(), "was ended after") {
		t.Errorf("an order that was taken back: %v", err)
	}
	if b, err := os.ReadFile(stopped); err != nil || string(b) != "--quiet stop griddle-run-"+one+".service\n" {
		t.Errorf("systemctl was called with %q, %v", b, err)
	}
	t.Setenv("PATH", t.TempDir())
	if _, err := Systemd(t.Context(), one, []string{"true"}, time.Hour, out); err == nil ||
		!strings.Contains(err.Error(), "starting the program") {
		t.Errorf("without systemd: %v", err)
	}
}
