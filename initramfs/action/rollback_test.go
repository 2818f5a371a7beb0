package action

import (
	"errors"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"griddle/appliance/job"
	"griddle/imagestore/durable"
	"griddle/imagestore/durable/durabletest"
	"griddle/initramfs/chroot"
	"griddle/initramfs/mounttest"
	"griddle/initramfs/pool"
	"griddle/initramfs/pool/pooltest"
	"griddle/initramfs/resident/order"
)

// TestMain runs the tests in a mount namespace of their own, so that other tests do not keep loop devices in use.
func TestMain(m *testing.M) {
	chroot.Inside()
	mounttest.Own()
	os.Exit(m.Run())
}

// pooled is a machine with a real pool, which runs the root one.
func pooled(t *testing.T, orders order.Files) *machine {
	t.Helper()
	made := pooltest.Installed(t)
	pooltest.Put(t, made.Top, map[string]string{"@roots/two@amd64/.griddle-good": "",
		"@roots/two@amd64/etc/systemd/system/griddle-bless.service": ""})
	return &machine{orders: orders, root: "one@amd64", pool: func() (*pool.Pool, error) {
		return pool.Open(pool.Place{Job: pooltest.Job, Pool: made.Device, ESP: made.ESP})
	}}
}

// starts is the root that the boot loader of the machine starts next.
func (m *machine) starts(t *testing.T) string {
	t.Helper()
	p, err := m.pool()
	if err != nil {
		t.Fatal(err)
	}
	all, err := p.Read()
	if err = errors.Join(err, p.Close()); err != nil {
		t.Fatal(err)
	}
	name, _ := all.Next()
	return name
}

func rollback(id, root string) job.Spec { return job.Spec{ID: id, Kind: job.Rollback, Root: root} }

// A machine goes back to the root before, or to a named one, and says what it runs then.
func TestRollback(t *testing.T) {
	m := pooled(t, order.Open(t.TempDir(), t.TempDir()))
	give(t, m.orders, rollback(one, ""))
	if err := m.unit(t); err != nil || m.restarts != 1 || m.starts(t) != "two@amd64" ||
		strings.Join(m.noted, ", ") != "rolled-back two@amd64" {
		t.Fatalf("%v, %d restarts, next is %s, the history has %q", err, m.restarts, m.starts(t), m.noted)
	}
	m.root = m.starts(t)
	if err := m.unit(t); err != nil || m.restarts != 1 || m.orders.Acted().State != order.Done ||
		m.orders.Acted().Message != "the machine runs two@amd64" {
		t.Errorf("after the restart: %v, %d restarts, %+v", err, m.restarts, m.orders.Acted())
	}
	// It did not prove itself, and the machine runs the other one again.
	give(t, m.orders, rollback(two, "one@amd64"))
	if err := m.unit(t); err != nil || m.restarts != 2 {
		t.Fatalf("%v, %d restarts", err, m.restarts)
	}
	if err := m.unit(t); err != nil || m.restarts != 2 || m.orders.Acted().State != order.Failed ||
		!strings.Contains(m.orders.Acted().Message, "runs two@amd64, not one@amd64") {
		t.Errorf("after a fallback: %v, %d restarts, %+v", err, m.restarts, m.orders.Acted())
	}
}

// What cannot be is refused by the machine, and it runs as before.
func TestRollbackRefused(t *testing.T) {
	for root, want := range map[string]string{"three": "does not have it", "bare": "no kernel",
		"../../etc": "does not have it"} {
		m := pooled(t, order.Open(t.TempDir(), t.TempDir()))
		before := m.starts(t)
		give(t, m.orders, rollback(one, root))
		if err := m.unit(t); err != nil || m.restarts != 0 || m.orders.Acted().State != order.Failed ||
			!strings.Contains(m.orders.Acted().Message, want) || m.starts(t) != before {
			t.Errorf("%s: %v, %d restarts, %+v, next is %s", root, err, m.restarts, m.orders.Acted(), m.starts(t))
		}
	}
	m := pooled(t, order.Open(t.TempDir(), t.TempDir()))
	m.pool = func() (*pool.Pool, error) { return nil, errors.New("no pool here") }
	give(t, m.orders, rollback(one, ""))
	if err := m.unit(t); err != nil || m.restarts != 0 || !strings.Contains(m.orders.Acted().Message, "no pool here") {
		t.Errorf("without a pool: %v, %d restarts, %+v", err, m.restarts, m.orders.Acted())
	}
}

// TestRollbackCut cuts the power at each file operation of a rollback. Whatever is left, the machine runs the root
// before in the end, and never goes back and forth.
func TestRollbackCut(t *testing.T) {
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
		m := pooled(t, order.OpenOn(tape.Disk(), dir, t.TempDir()))
		turn := func() error {
			before := m.restarts
			err := errors.Join(m.checkIn(rollback(one, ""), job.CheckedIn{}), m.unit(t))
			if m.restarts > before {
				m.root = m.starts(t)
			}
			return err
		}
		for range 5 {
			if err = turn(); err != nil {
				break
			}
		}
		if hit && err == nil {
			// An error at the end of an action that the machine reports as failed is its answer.
			t.Logf("operation %d: the machine says %+v", n, m.orders.Acted())
		}
		disk.Apply(tape.Ops()...)
		after := t.TempDir()
		if err := disk.PowerCut(after, rand.New(rand.NewPCG(uint64(n), 1)), float64(n%4)/3); err != nil {
			t.Fatal(err)
		}
		m.boots++
		m.root, m.orders = m.starts(t), order.Open(after, t.TempDir())
		for range 6 {
			if err := turn(); err != nil {
				t.Fatalf("after a power cut at operation %d: %v", n, err)
			}
		}
		if w, err := m.orders.Waiting(); !strings.HasPrefix(m.last(), "done") || w != nil || err != nil ||
			m.root != "two@amd64" || m.restarts > 1 {
			t.Errorf("after a power cut at operation %d the server heard %q, %s runs after %d restarts, left is %+v, "+
				"%v", n, m.heard, m.root, m.restarts, w, err)
		}
		if !hit {
			if n < 15 {
				t.Errorf("a rollback has %d operations", n)
			}
			return
		}
	}
}
