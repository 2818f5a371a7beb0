package action

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"griddle/appliance/job"
	"griddle/imagestore/durable"
	"griddle/imagestore/durable/durabletest"
	"griddle/initramfs/pool"
	"griddle/initramfs/pool/history"
	"griddle/initramfs/resident/order"
)

const (
	one = "11111111-1111-4111-8111-111111111111"
	two = "22222222-2222-4222-8222-222222222222"
)

var nolog = slog.New(slog.DiscardHandler)

// machine is one that restarts: each start has another boot_id.
type machine struct {
	orders   order.Files
	boots    int
	restarts int
	says     error // what its restart says
	root     string
	pool     func() (*pool.Pool, error)
	noted    []string
	exec     func(ctx context.Context, out io.Writer) (int, error)
	ran      []string
	noRuns   string

	heard []string // what the server heard last of each action
}

// unit runs the unit once. A restart that it asks for ends it, as it stops all services.
func (m *machine) unit(t *testing.T) error {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	asked := false
	err := Run(ctx, Options{Orders: m.orders, Boot: fmt.Sprint("boot", m.boots), Root: cmp.Or(m.root, "web-1"),
		Look: time.Millisecond, Hear: 5 * time.Millisecond, Again: time.Millisecond,
		Log: nolog, Pool: m.pool,
		NoRuns: cmp.Or(m.noRuns, "/does/not/exist"),
		Exec: func(ctx context.Context, id string, argv []string, _ time.Duration, out io.Writer) (int, error) {
			m.ran = append(m.ran, id+" "+strings.Join(argv, " "))
			return m.exec(ctx, out)
		},
		Note: func(kind history.Kind, root string) error {
			m.noted = append(m.noted, fmt.Sprint(kind, " ", root))
			return nil
		},
		Restart: func(context.Context) error {
			if m.says != nil {
				err := m.says
				m.says = nil
				return err
			}
			asked = true
			stop()
			return nil
		}})
	if asked {
		m.restarts++
		m.boots++
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		t.Fatal("the unit does not end")
	}
	return err
}

// checkIn is a check-in of the service with a server that has given spec and has not heard of it.
func (m *machine) checkIn(spec job.Spec, out job.CheckedIn) error {
	now := order.Situation{Boot: fmt.Sprint("boot", m.boots), Progress: m.orders.Progress(), Acted: m.orders.Acted(),
		Reported: m.orders.Reported()}
	var err error
	if now.Waiting, err = m.orders.Waiting(); err != nil {
		return err
	}
	if now.Begun, err = m.orders.Begun(); err != nil {
		return err
	}
	if a := now.Action(); a != nil {
		m.heard = append(m.heard, fmt.Sprint(a.State, " ", a.Phase, " ", a.Message))
	} else if len(m.heard) == 0 {
		out.Job = &spec
	}
	if heard := now.Heard(); heard != now.Reported {
		if err := m.orders.Report(heard); err != nil {
			return err
		}
	}
	switch now.Next(out) {
	case order.Take:
		return m.orders.Give(order.Order{Spec: spec})
	case order.Forget:
		return m.orders.Withdraw(spec.ID)
	}
	return nil
}

func (m *machine) last() string {
	if len(m.heard) == 0 {
		return ""
	}
	return m.heard[len(m.heard)-1]
}

func reboot(id string) job.Spec { return job.Spec{ID: id, Kind: job.Reboot} }

func give(t *testing.T, f order.Files, spec job.Spec) {
	t.Helper()
	if err := f.Give(order.Order{Spec: spec}); err != nil {
		t.Fatal(err)
	}
}

// A machine restarts once, tries again if systemd does not, and says so when it is up again.
func TestReboot(t *testing.T) {
	m := &machine{orders: order.Open(t.TempDir(), t.TempDir()), says: errors.New("systemd is busy")}
	if err := m.unit(t); err != nil || m.restarts != 0 {
		t.Fatalf("without an order it restarted %d times, %v", m.restarts, err)
	}
	for range 6 {
		if err := errors.Join(m.checkIn(reboot(one), job.CheckedIn{}), m.unit(t)); err != nil {
			t.Fatal(err)
		}
	}
	if m.restarts != 1 || m.last() != "done restart the machine restarted, and runs web-1" {
		t.Errorf("it restarted %d times, and the server heard %q", m.restarts, m.heard)
	}
	if w, err := m.orders.Waiting(); w != nil || err != nil {
		t.Errorf("the order is still there: %+v, %v", w, err)
	}
	// The same order again, and an old one, do nothing.
	give(t, m.orders, reboot(one))
	err := errors.Join(m.unit(t), m.orders.Begin(order.Begun{Job: two, Boot: "boot1"}))
	if err != nil || m.restarts != 1 {
		t.Errorf("the same order again: %d restarts, %v", m.restarts, err)
	}
	if err := m.orders.EndAction(order.Result{Job: two, State: order.Done}); err != nil {
		t.Fatal(err)
	}
	give(t, m.orders, reboot(one))
	if err := m.unit(t); err != nil || m.restarts != 1 || m.orders.Acted().State != order.Failed ||
		!strings.Contains(m.orders.Acted().Message, "is not known") {
		t.Errorf("an old order: %d restarts, %v, %+v", m.restarts, err, m.orders.Acted())
	}
}

// An order that is taken back, or that another one replaces, is not carried out any more.
func TestWithdrawn(t *testing.T) {
	for name, change := range map[string]func(f order.Files) error{
		"withdrawn": func(f order.Files) error { return f.Withdraw(one) },
		"replaced": func(f order.Files) error {
			return f.Give(order.Order{Spec: job.Spec{ID: two, Kind: job.Update}})
		},
	} {
		f := order.Open(t.TempDir(), t.TempDir())
		give(t, f, reboot(one))
		done := make(chan error)
		restarts := 0
		go func() {
			done <- Run(t.Context(), Options{Orders: f, Boot: "boot", Look: time.Millisecond, Hear: time.Hour,
				Log: nolog, Restart: func(context.Context) error { restarts++; return nil }})
		}()
		for f.Progress() == nil {
			time.Sleep(time.Millisecond)
		}
		if err := change(f); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil || restarts != 0 || f.Acted() != nil {
			t.Errorf("%s: Run() = %v, %d restarts, %+v", name, err, restarts, f.Acted())
		}
	}
}

// What is not for this package stays, and rubbish goes.
func TestOtherOrders(t *testing.T) {
	dir := t.TempDir()
	m := &machine{orders: order.Open(dir, t.TempDir())}
	give(t, m.orders, job.Spec{ID: one, Kind: job.Update})
	w, err := m.orders.Waiting()
	if err := errors.Join(err, m.unit(t)); err != nil || w == nil || m.restarts != 0 {
		t.Errorf("an update: %+v, %v, %d restarts", w, err, m.restarts)
	}
	if err := os.WriteFile(filepath.Join(dir, "order.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := m.unit(t); !errors.Is(err, order.ErrDamaged) {
		t.Errorf("rubbish: %v", err)
	}
	if w, err := m.orders.Waiting(); w != nil || err != nil {
		t.Errorf("the rubbish is still there: %+v, %v", w, err)
	}
	give(t, m.orders, reboot(one))
	if err := os.WriteFile(filepath.Join(dir, "begun.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := m.unit(t); err != nil || m.restarts != 0 || m.orders.Acted().State != order.Failed {
		t.Errorf("without knowing what began: %v, %d restarts, %+v", err, m.restarts, m.orders.Acted())
	}
}

// TestPowerCut cuts the power at each file operation of a restart. Whatever is left, the machine ends the order and the
// server hears so; the machine restarts by itself at most once after the cut, and not at all if the cut came after the
// record that it begins.
func TestPowerCut(t *testing.T) {
	off := errors.New("the power is off")
	for n := 0; ; n++ {
		hit := false
		for i := range 4 {
			dir := t.TempDir()
			disk, err := durabletest.Load(dir)
			if err != nil {
				t.Fatal(err)
			}
			tape := &durabletest.Tape{Root: dir, Fault: func(i int, _ *durable.Op) error {
				if i < n {
					return nil
				}
				hit = true
				return off
			}}
			m := &machine{orders: order.OpenOn(tape.Disk(), dir, t.TempDir())}
			for range 5 {
				if err = errors.Join(m.checkIn(reboot(one), job.CheckedIn{}), m.unit(t)); err != nil {
					break
				}
			}
			if hit != errors.Is(err, off) {
				t.Fatalf("operation %d failed: %v", n, err)
			}
			disk.Apply(tape.Ops()...)
			after := t.TempDir()
			if err := disk.PowerCut(after, rand.New(rand.NewPCG(uint64(n), uint64(i))), float64(i)/3); err != nil {
				t.Fatal(err)
			}
			m.boots++
			m.orders = order.Open(after, t.TempDir())
			begun, err := m.orders.Begun()
			if err != nil {
				t.Fatal(err)
			}
			before := m.restarts
			for range 6 {
				if err := errors.Join(m.checkIn(reboot(one), job.CheckedIn{}), m.unit(t)); err != nil {
					t.Fatalf("after a power cut at operation %d: %v", n, err)
				}
			}
			most := 1
			if begun.Has(one) {
				most = 0
			}
			w, err := m.orders.Waiting()
			_, err2 := os.Stat(filepath.Join(after, "order.json"))
			if !strings.HasPrefix(m.last(), "done") || w != nil || err != nil || err2 == nil ||
				m.restarts-before > most || m.restarts > 1 {
				t.Errorf("after a power cut at operation %d the server heard %q, the machine restarted %d and then %d "+
					"times, begun is %+v, left is %+v, %v", n, m.heard, before, m.restarts-before, begun, w, err)
			}
		}
		if !hit {
			if n < 12 {
				t.Errorf("a restart has %d operations", n)
			}
			return
		}
	}
}
