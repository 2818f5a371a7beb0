package liveupdate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"griddle/appliance/job"
	"griddle/initramfs/pool"
	"griddle/initramfs/pool/history"
	"griddle/initramfs/resident/order"
	"griddle/initramfs/update"

	"golang.org/x/sys/unix"
)

// An order is carried out with what the server has for it, and the machine restarts when the job says so.
func TestRun(t *testing.T) {
	b := newBed(t)
	const soon = "soon" // seconds after its case begins, whatever those before it took
	for i, c := range []struct {
		when     job.When
		did      string
		restarts int
	}{
		{"", "[switch]", 1},
		{job.WhenNow, "[switch]", 1},
		{job.WhenReboot, "[switch]", 0},
		{"2020-01-01T00:00:00Z", "[switch]", 1},
		{soon, "[prepare switch]", 1},
	} {
		if c.when == soon {
			c.when = job.When(time.Now().Add(8 * time.Second).UTC().Format(time.RFC3339))
		}
		b.did, b.restarts, b.asked, b.keys = nil, 0, nil, nil
		b.spec.ID = strings.Replace(jobID, "5", fmt.Sprint(i), 1)
		b.spec.When = c.when
		b.must(b.run(t.Context()))
		r := b.Orders.Result()
		if r == nil || r.State != order.Switched || r.Root != "web-2@amd64" || r.Boot != order.Boot() ||
			r.Phase != job.PhaseSwitch || fmt.Sprint(b.did) != c.did || b.restarts != c.restarts {
			t.Errorf("when %q: the result is %+v, it did %v and restarted %d times", c.when, r, b.did, b.restarts)
		}
		if len(b.asked) != 1 || b.asked[0].Job != b.spec.ID || len(b.asked[0].Have) != 1 ||
			slices.ContainsFunc(b.keys, func(k string) bool { return k == "" || k != b.keys[0] }) {
			t.Errorf("when %q: the server was asked %+v, with the keys %q", c.when, b.asked, b.keys)
		}
		if w, err := b.Orders.Waiting(); w != nil || err != nil || b.Orders.Progress() != nil {
			t.Errorf("when %q: left are %+v, %v, and the progress %+v", c.when, w, err, b.Orders.Progress())
		}
		if all := b.Orders.Roots(); len(all) != 3 || !slices.ContainsFunc(all, func(r job.Root) bool {
			return r.Name == "one@amd64" && r.Next
		}) {
			t.Errorf("when %q: the roots are %+v", c.when, all)
		}
	}
	b.must(Run(t.Context(), b.Options)) // nothing to do
}

// TestRevokedKey: an image that only a revoked key signed does not become a system, whatever was ordered before.
func TestRevokedKey(t *testing.T) {
	b := newBed(t)
	b.must(b.store.Revoke(t.Context(), b.author.Public()))
	b.notify()
	b.must(b.run(t.Context()))
	if r := b.Orders.Result(); r == nil || r.State != order.Failed || b.did != nil || b.restarts != 0 ||
		!strings.Contains(r.Message, "is not trusted here") || !strings.Contains(r.Message, "runs as before") {
		t.Errorf("the result is %+v, it did %v", r, b.did)
	}
}

// A key that is revoked while a received image waits for its time counts no more.
func TestRevokedMeanwhile(t *testing.T) {
	b := newBed(t)
	b.spec.When = job.When(time.Now().Add(2 * time.Second).UTC().Format(time.RFC3339))
	inner := b.Update
	b.Update = func(ctx context.Context, o update.Options) (update.Result, error) {
		r, err := inner(ctx, o)
		if o.Prepare {
			b.must(b.store.Revoke(t.Context(), b.author.Public()))
			b.notify()
		}
		return r, err
	}
	b.must(b.run(t.Context()))
	if r := b.Orders.Result(); r == nil || r.State != order.Failed || fmt.Sprint(b.did) != "[prepare]" ||
		!strings.Contains(r.Message, "is not trusted here") {
		t.Errorf("the result is %+v, it did %v", r, b.did)
	}
}

// TestServerGone: the server goes in mid-stream and before each answer; the update continues when it is back.
func TestServerGone(t *testing.T) {
	b := newBed(t)
	b.cut.Store(2)
	b.away.Store(true)
	time.AfterFunc(300*time.Millisecond, func() { b.away.Store(false) })
	b.must(b.run(t.Context()))
	if r := b.Orders.Result(); r == nil || r.State != order.Switched || b.cut.Load() != 0 || b.restarts != 1 {
		t.Errorf("the result is %+v, %d answers were not cut", r, b.cut.Load())
	}
	if n := strings.Count(b.log.String(), "trying again"); n < 2 {
		t.Errorf("the log has %d attempts:\n%s", n, b.log.String())
	}
}

// TestOldServer: a server whose catalog is older than what the machine has seen gives it nothing.
func TestOldServer(t *testing.T) {
	b := newBed(t)
	c, err := b.Contact()
	b.must(err)
	known, err := c.Catalog()
	b.must(errors.Join(err, c.Close()))
	seen := fmt.Sprintf(`{"key":%q,"seq":%d,"time":%q}`, known.Key, known.Seq+5, time.Now().UTC().Format(time.RFC3339))
	b.must(os.MkdirAll(filepath.Join(b.dir, "seen"), 0o700))
	b.must(os.WriteFile(filepath.Join(b.dir, "seen", b.site.Public().ID()), []byte(seen), 0o600))
	b.must(b.run(t.Context()))
	if r := b.Orders.Result(); r == nil || r.State != order.Failed || b.did != nil ||
		!strings.Contains(r.Message, "older") {
		t.Errorf("the result is %+v, it did %v", r, b.did)
	}
}

// TestAnotherImage: a server that plans another image than the one that was ordered gives the machine nothing.
func TestAnotherImage(t *testing.T) {
	b := newBed(t)
	b.other = "sha256:" + strings.Repeat("ab", 32)
	b.must(b.run(t.Context()))
	if r := b.Orders.Result(); r == nil || r.State != order.Failed || b.did != nil ||
		!strings.Contains(r.Message, "the server plans the way to web:2@amd64, and the job names") {
		t.Errorf("the result is %+v, it did %v", r, b.did)
	}
}

// A job with a kernel image gets that too.
func TestKernel(t *testing.T) {
	b := newBed(t)
	b.spec.Kernel, b.spec.Image.Ref = b.spec.Image, "other:1@amd64" // the store has one image
	b.Update = func(ctx context.Context, o update.Options) (update.Result, error) {
		img, err := o.Kernel(ctx, nil)
		if err == nil && img.Ref() != "web:2@amd64" {
			t.Errorf("the kernel image is %s", img.Ref())
		}
		return update.Result{Root: "other-1@amd64"}, err
	}
	b.must(b.run(t.Context()))
	if r := b.Orders.Result(); r == nil || r.State != order.Switched || len(b.asked) != 1 || !b.asked[0].Kernel {
		t.Errorf("the result is %+v, and the server was asked %+v", r, b.asked)
	}
}

// An order that is taken back stops the update, one that another one replaced likewise; a shutdown leaves it.
func TestStopped(t *testing.T) {
	b := newBed(t)
	other := b.spec
	other.ID = strings.Replace(jobID, "5", "6", 1)
	for name, c := range map[string]struct {
		stop func(cancel func()) error
		left string // job that waits then
	}{
		"cancelled": {func(func()) error { return b.Orders.Withdraw(jobID) }, ""},
		"replaced":  {func(func()) error { return b.Orders.Give(order.Order{Spec: other}) }, other.ID},
		"shutdown":  {func(cancel func()) error { cancel(); return nil }, jobID},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		b.Update = func(ctx context.Context, _ update.Options) (update.Result, error) {
			if err := c.stop(cancel); err != nil {
				t.Error(err)
			}
			<-ctx.Done()
			return update.Result{}, context.Cause(ctx)
		}
		if err := b.run(ctx); err != nil {
			t.Errorf("%s: Run = %v", name, err)
		}
		cancel()
		left := ""
		if w, err := b.Orders.Waiting(); err != nil {
			t.Error(err)
		} else if w != nil {
			left = w.Spec.ID
		}
		if r := b.Orders.Result(); r != nil || left != c.left || b.restarts != 0 {
			t.Errorf("%s: the result is %+v, and %q waits, want %q", name, r, left, c.left)
		}
	}
}

// An order that is taken back after the switch is over all the same: the next start takes its root. But the machine
// does not restart for it.
func TestCancelledTooLate(t *testing.T) {
	b := newBed(t)
	b.Update = func(ctx context.Context, _ update.Options) (update.Result, error) {
		b.must(b.Orders.Withdraw(jobID))
		<-ctx.Done()
		return update.Result{Root: "web-2@amd64"}, nil
	}
	b.must(b.run(t.Context()))
	if r := b.Orders.Result(); r == nil || r.State != order.Switched || r.Root != "web-2@amd64" || b.restarts != 0 {
		t.Errorf("the result is %+v, with %d restarts", r, b.restarts)
	}
}

// A machine that does not restart is restarted again, until it does or the system stops.
func TestRestartFails(t *testing.T) {
	b := newBed(t)
	b.Again = time.Millisecond
	b.Restart = func(context.Context, string, bool) error {
		if b.restarts++; b.restarts < 3 {
			return errors.New("systemd does not answer")
		}
		return nil
	}
	b.must(b.run(t.Context()))
	if b.restarts != 3 {
		t.Errorf("the machine was restarted %d times, want 3", b.restarts)
	}
	ctx, cancel := context.WithCancel(t.Context())
	b.Again = time.Hour
	b.Restart = func(context.Context, string, bool) error {
		cancel()
		return errors.New("systemd does not answer")
	}
	b.spec.ID = strings.Replace(jobID, "5", "6", 1)
	b.must(b.run(ctx))
	if r := b.Orders.Result(); r == nil || r.Job != b.spec.ID || r.State != order.Switched {
		t.Errorf("the result is %+v", r)
	}
}

// TestTwoAtOnce: while another update of this machine runs, the order waits.
func TestTwoAtOnce(t *testing.T) {
	b := newBed(t)
	b.Update = nil // the real one
	b.must(os.MkdirAll(filepath.Join(b.made.Top, "@persistent/griddle"), 0o755))
	f, err := os.OpenFile(filepath.Join(b.made.Top, "@persistent/griddle/update.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	b.must(err)
	defer f.Close()
	b.must(unix.Flock(int(f.Fd()), unix.LOCK_EX))
	if err := b.run(t.Context()); !errors.Is(err, update.ErrBusy) {
		t.Errorf("Run = %v, want %v", err, update.ErrBusy)
	}
	if w, err := b.Orders.Waiting(); w == nil || err != nil || b.Orders.Result() != nil {
		t.Errorf("left are %+v, %v, and the result %+v", w, err, b.Orders.Result())
	}
}

// What was carried out before a power cut is not carried out again.
func TestAgain(t *testing.T) {
	b := newBed(t)
	now := time.Now().UTC()
	b.History = func() ([]history.Event, error) {
		return []history.Event{{Time: now, Kind: history.Made, Root: "web-2@amd64.2", Image: "web-2@amd64"},
			{Time: now.Add(time.Hour), Kind: history.Failed, Root: "web-2@amd64.2", Reason: "web.service failed"}}, nil
	}
	b.must(b.run(t.Context()))
	if r := b.Orders.Result(); r.State != order.Failed || b.did != nil || !strings.Contains(r.Message, "web.service") {
		t.Errorf("after the new root failed the result is %+v, it did %v", r, b.did)
	}
	b.History = func() ([]history.Event, error) {
		return []history.Event{{Time: now.Add(-time.Hour), Kind: history.Failed, Root: "web-2",
			Image: "web-2@amd64"}}, nil
	}
	b.spec.ID = strings.Replace(jobID, "5", "7", 1)
	b.must(b.run(t.Context()))
	if r := b.Orders.Result(); r.State != order.Switched {
		t.Errorf("after an earlier order's root failed the result is %+v", r)
	}
	b.spec.ID = strings.Replace(jobID, "5", "8", 1)
	b.Update = func(context.Context, update.Options) (update.Result, error) {
		return update.Result{Root: "web-2@amd64", Current: true}, nil
	}
	b.restarts = 0
	b.must(b.run(t.Context()))
	if r := b.Orders.Result(); r.State != order.Current || r.Root != "web-2@amd64" || b.restarts != 0 {
		t.Errorf("an update to what runs ends as %+v, with %d restarts", r, b.restarts)
	}
}

// An order that cannot be read goes, so that systemd does not start the unit for ever.
func TestDamaged(t *testing.T) {
	b := newBed(t)
	path := filepath.Join(b.dir, "order.json")
	b.must(os.WriteFile(path, []byte("{"), 0o600))
	if err := Run(t.Context(), b.Options); !errors.Is(err, order.ErrDamaged) {
		t.Errorf("Run = %v", err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("the order is still there")
	}
}

// The way to an image is asked for again if the pool has lost, or distrusts, what it was planned from, and else once.
func TestPlanWithout(t *testing.T) {
	b := newBed(t)
	const x, y, z = "11111111-1111-4111-8111-111111111111", "21111111-1111-4111-8111-111111111111",
		"31111111-1111-4111-8111-111111111111"
	b.Update = func(ctx context.Context, o update.Options) (update.Result, error) {
		for _, have := range [][]string{{x, y}, {x, y, z}, {y}, {y}, nil} {
			if _, err := o.Open(ctx, have); err != nil {
				t.Error(err)
			}
		}
		return update.Result{Root: "web-2@amd64"}, nil
	}
	b.must(b.run(t.Context()))
	if len(b.asked) != 3 || len(b.asked[0].Have) != 2 || len(b.asked[1].Have) != 1 || len(b.asked[2].Have) != 0 {
		t.Errorf("the server was asked %+v", b.asked)
	}
}

// Where roots are partitions, nothing is received before the time of the order, and no one is told otherwise.
func TestTimedOwnRoots(t *testing.T) {
	b := newBed(t)
	open := b.Pool
	b.Pool = func() (*pool.Pool, pool.Place, error) {
		p, place, err := open()
		place.Own = []pool.Own{{}, {}}
		return p, place, err
	}
	b.Update = func(_ context.Context, o update.Options) (update.Result, error) {
		b.did = append(b.did, map[bool]string{true: "prepare", false: "switch"}[o.Prepare])
		if o.Prepare {
			return update.Result{}, nil
		}
		return update.Result{Root: "root-b"}, nil
	}
	b.spec.When = job.When(time.Now().Add(3 * time.Second).UTC().Format(time.RFC3339))
	b.must(b.run(t.Context()))
	if text := b.log.String(); fmt.Sprint(b.did) != "[prepare switch]" || strings.Contains(text, "is received") ||
		!strings.Contains(text, "can be taken; the machine receives it and restarts at") {
		t.Errorf("the update did %v and said %s", b.did, text)
	}
}
