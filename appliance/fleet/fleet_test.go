package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"griddle/appliance/job"
	"griddle/netboot"
)

func open(t *testing.T, o Options) *Fleet {
	t.Helper()
	f, err := Open(t.Context(), filepath.Join(t.TempDir(), "fleet ?#.db"), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	// What is flushed when is TestDurability's; here it only takes time.
	if _, err := f.db.Exec("PRAGMA synchronous = OFF"); err != nil {
		t.Fatal(err)
	}
	return f
}

func hello(uuid, boot string, macs ...string) job.Hello {
	return job.Hello{Boot: boot, Identity: job.Identity{UUID: uuid, MACs: macs},
		Inventory: job.Inventory{Memory: 1 << 30}}
}

func order() Order {
	return Order{Image: job.Image{Ref: "web:1@amd64"}, Disk: "largest"}
}

func boots(t *testing.T, f *Fleet, mac string) netboot.Action {
	t.Helper()
	hw, err := net.ParseMAC(mac)
	if err != nil {
		t.Fatal(err)
	}
	spec, err := f.Boot(t.Context(), netboot.Machine{MAC: hw})
	if err != nil {
		t.Fatal(err)
	}
	return spec.Action
}

// clock is a time that tests move.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Date(2026, 11, 2, 8, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func list(t *testing.T, f *Fleet) (all []View) {
	t.Helper()
	for after := ""; ; {
		page, next, err := f.List(t.Context(), nil, after, 0)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, page...)
		if after = next; next == "" {
			if len(all) < 50 {
				listed(t, f, all)
			}
			return all
		}
	}
}

// TestDeploy tells one machine's way from an address on a command line to a deployed system.
func TestDeploy(t *testing.T) {
	c := newClock()
	ctx, f := t.Context(), open(t, Options{Now: c.now})
	m, j, err := f.Install(ctx, "52-54-00-00-00-0A", order())
	if err != nil {
		t.Fatal(err)
	}
	if m.Name != "node-52540000000a" || j.Spec.Hostname != m.Name || j.State != job.Pending {
		t.Fatalf("Install() = %q, %+v", m.Name, j)
	}
	if got := boots(t, f, macA); got != netboot.Agent {
		t.Errorf("with a job pending it boots %d, want the agent", got)
	}
	boot := uuid.NewString()
	g, err := f.Hello(ctx, "10.0.0.9", "", hello(uuidA, boot, macB, macA))
	if err != nil || g.Job == nil || g.Job.Spec.ID != j.Spec.ID || g.Home == "" || g.Machine.ID != m.ID {
		t.Fatalf("Hello() = %+v, %v, want the job", g, err)
	}
	send := func(events ...job.Event) job.Acknowledged {
		t.Helper()
		ack, err := f.Append(ctx, g.proof(), job.Events{Boot: boot, Events: events})
		if err != nil {
			t.Fatal(err)
		}
		return ack
	}
	id := j.Spec.ID
	if ack := send(job.Event{Seq: 1, Job: id, Phase: job.PhasePartition, State: job.Started,
		Disk: "S1"}); ack.Seq != 1 || ack.Cancelled {
		t.Fatalf("Append() = %+v", ack)
	}
	// The power is cut: the next boot gets the same job, with its disk, and the old token is still this boot's.
	boot2 := uuid.NewString()
	g2, err := f.Hello(ctx, "10.0.0.9", "", hello(uuidA, boot2, macB, macA))
	if err != nil || g2.Job == nil || g2.Job.Spec.Started != "S1" || g2.Home == g.Home {
		t.Fatalf("second Hello() = %+v, %v, want the job begun on S1", g2, err)
	}
	g, boot = g2, boot2
	c.pass(2 * carrying)
	send(job.Event{Seq: 1, Job: id, State: job.Started, Disk: "S1"}, job.Event{Seq: 2, Job: id, State: job.Done})
	if spec, err := f.Boot(ctx, netboot.Machine{MAC: net.HardwareAddr{0x52, 0x54, 0, 0, 0, 0x0a}}); err != nil ||
		spec.Volume != job.ESPLabel(id) || spec.Disk != id {
		t.Errorf("Boot() = %+v, %v, want the disk and the volume that job %s made", spec, err, id)
	}
	disks := hello(uuidA, uuid.NewString(), macB, macA)
	disks.Inventory.Disks = []job.Disk{{Path: "/dev/sda", Table: "mbr", TableID: "1234abcd", Installed: id}}
	if _, err := f.Hello(ctx, "10.0.0.9", "", disks); err != nil {
		t.Fatal(err)
	}
	if spec, err := f.Boot(ctx, netboot.Machine{MAC: net.HardwareAddr{0x52, 0x54, 0, 0, 0, 0x0a}}); err != nil ||
		spec.Disk != "1234abcd" {
		t.Errorf("Boot() = %+v, %v, want the disk that the machine says the job is on", spec, err)
	}
	if got := boots(t, f, macA); got != netboot.Local {
		t.Errorf("with its job done it boots %d, want its disk", got)
	}
	if m, err = f.Home(ctx, g.Home, job.HomeReport{Hostname: "h\x1b[31m", Kernel: "6.1",
		HostKeys:  []string{"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMgER+oTq/ggOWnGoqhy6QkLlMK2+XvJBHehHinQ8WHT a", "x"},
		Addresses: []string{"192.0.2.5", "127.0.0.1"}}); err != nil ||
		m.Deployed == nil || m.Deployed.Report.Hostname != "h [31m" && m.Deployed.Report.Hostname != "h[31m" {
		t.Fatalf("Home() = %+v, %v", m.Deployed, err)
	}
	if got := m.Deployed.Report; len(got.HostKeys) != 1 || !slices.Equal(got.Addresses, []string{"192.0.2.5"}) {
		t.Errorf("Home() keeps the keys %q and the addresses %q", got.HostKeys, got.Addresses)
	}
	for _, token := range []string{g.Home, g2.Home, "", "x"} {
		if _, err := f.Home(ctx, token, job.HomeReport{}); !errors.Is(err, ErrToken) {
			t.Errorf("Home() with a used token = %v, want ErrToken", err)
		}
	}
	views := list(t, f)
	if len(views) != 1 || views[0].Status() != "deployed" {
		t.Errorf("List() = %+v", views)
	}
	if got := boots(t, f, macB); got != netboot.Local {
		t.Errorf("deployed, it boots %d, want its disk", got)
	}
}

func TestAppend(t *testing.T) {
	ctx, f := t.Context(), open(t, Options{})
	boot := uuid.NewString()
	g, err := f.Hello(ctx, "10.0.0.9", "", hello(uuidA, boot, macA))
	if err != nil {
		t.Fatal(err)
	}
	ev := func(seq uint64, message string) job.Event {
		e := job.Event{Seq: seq, Message: message}
		if message == "" {
			e.Progress = &job.Progress{Done: int64(seq)}
		}
		return e
	}
	for _, c := range []struct {
		name   string
		events []job.Event
		ack    uint64
	}{
		{"none", nil, 0},
		{"the first may have any number", []job.Event{ev(3, "a"), ev(4, "b")}, 4},
		{"again", []job.Event{ev(3, "a"), ev(4, "b")}, 4},
		{"overlap", []job.Event{ev(4, "b"), ev(5, "")}, 5},
		{"gap", []job.Event{ev(7, "x")}, 5},
		{"filled", []job.Event{ev(6, ""), ev(7, "c")}, 7},
		{"absurd", []job.Event{ev(1<<63, "y")}, 7},
	} {
		ack, err := f.Append(ctx, g.proof(), job.Events{Boot: boot, Events: c.events})
		if err != nil || ack.Seq != c.ack {
			t.Errorf("%s: Append() = %d, %v, want %d", c.name, ack.Seq, err, c.ack)
		}
	}
	entries, err := f.Log(ctx, macA, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, fmt.Sprint(e.Event.Seq, e.Event.Message))
	}
	if want := []string{"3a", "4b", "6", "7c"}; !slices.Equal(got, want) {
		t.Errorf("Log() = %v, want %v (the newest progress alone)", got, want)
	}
	if _, err := f.Append(ctx, g.proof(), job.Events{Boot: uuid.NewString()}); !errors.Is(err, ErrToken) {
		t.Errorf("Append() for another boot = %v, want ErrToken", err)
	}
}

func TestCancelReachesAgent(t *testing.T) {
	ctx, f := t.Context(), open(t, Options{})
	_, j, err := f.Install(ctx, macA, order())
	if err != nil {
		t.Fatal(err)
	}
	boot := uuid.NewString()
	g, err := f.Hello(ctx, "10.0.0.9", "", hello("", boot, macA))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Cancel(ctx, macA); err != nil {
		t.Fatal(err)
	}
	ack, err := f.Append(ctx, g.proof(),
		job.Events{Boot: boot, Events: []job.Event{{Seq: 1, Job: j.Spec.ID, State: job.Started, Disk: "S1"}}})
	if err != nil || !ack.Cancelled || ack.Seq != 1 {
		t.Errorf("Append() after Cancel = %+v, %v, want cancelled", ack, err)
	}
	// An agent with nothing to report asks with what the server has.
	ack, err = f.Append(ctx, g.proof(), job.Events{Boot: boot, Events: []job.Event{{Seq: 1, Job: j.Spec.ID}}})
	if err != nil || !ack.Cancelled || ack.Seq != 1 {
		t.Errorf("Append() of the same event = %+v, %v, want cancelled", ack, err)
	}
	if _, err := f.Cancel(ctx, macA); !errors.Is(err, ErrOver) {
		t.Errorf("second Cancel() = %v, want ErrOver", err)
	}
	if got := boots(t, f, macA); got != netboot.Menu {
		t.Errorf("after Cancel it boots %d, want the menu", got)
	}
}

func TestChoose(t *testing.T) {
	ctx, f := t.Context(), open(t, Options{})
	boot := uuid.NewString()
	g, err := f.Hello(ctx, "10.0.0.9", "", hello("", boot, macA))
	if err != nil || g.Job != nil {
		t.Fatalf("Hello() = %+v, %v, want no job", g, err)
	}
	j, home, err := f.Choose(ctx, g.proof(), order())
	if err != nil || j.Origin != Screen || home == "" {
		t.Fatalf("Choose() = %+v, %v", j, err)
	}
	// The reply got lost: the same boot asks again, and gets the same job.
	if again, _, err := f.Choose(ctx, g.proof(), order()); err != nil || again.Spec.ID != j.Spec.ID {
		t.Errorf("Choose() again = %+v, %v, want the same job", again, err)
	}
	other := order()
	other.Erase = "S9"
	if _, _, err := f.Choose(ctx, g.proof(), other); !errors.Is(err, ErrBusy) {
		t.Errorf("Choose() of something else = %v, want ErrBusy", err)
	}
	if _, _, err := f.Choose(ctx, Proof{Token: "stolen"}, order()); !errors.Is(err, ErrToken) {
		t.Errorf("Choose() with a wrong token = %v, want ErrToken", err)
	}
}

// TestJobsAreForgotten has a machine choose and fail again and again after one install that went well.
func TestJobsAreForgotten(t *testing.T) {
	ctx, f := t.Context(), open(t, Options{})
	boot := uuid.NewString()
	g, err := f.Hello(ctx, "10.0.0.9", "", hello("", boot, macA))
	if err != nil {
		t.Fatal(err)
	}
	seq := uint64(0)
	course := func(states ...job.State) string {
		t.Helper()
		j, _, err := f.Choose(ctx, g.proof(), order())
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range states {
			seq++
			e := job.Event{Seq: seq, Job: j.Spec.ID, State: s, Disk: "S1", Level: job.Info}
			if _, err := f.Append(ctx, g.proof(), job.Events{Boot: boot, Events: []job.Event{e}}); err != nil {
				t.Fatal(err)
			}
		}
		return j.Spec.ID
	}
	installed := course(job.Started, job.Done)
	for range maxScreenJobs + 5 {
		course(job.Failed)
	}
	_, jobs, err := f.Show(ctx, macA)
	if err != nil || len(jobs) != maxScreenJobs+1 || jobs[maxScreenJobs].Spec.ID != installed {
		t.Errorf("Show() has %d jobs, %v, want the newest %d and the install", len(jobs), err, maxScreenJobs)
	}
	if got := system(jobs); got == nil || got.Spec.ID != installed {
		t.Errorf("the machine's disk is started for %+v, want the install", got)
	}
}

// TestClones boots two machines with one UUID: each stays itself.
func TestClones(t *testing.T) {
	ctx, f := t.Context(), open(t, Options{Unknown: StartAgent})
	if _, _, err := f.Install(ctx, macA, order()); err != nil {
		t.Fatal(err)
	}
	for _, zero := range []string{uuidA, "00000000-0000-0000-0000-000000000000"} {
		a, err := f.Hello(ctx, "10.0.0.9", "", hello(zero, uuid.NewString(), macA))
		if err != nil || a.Job == nil {
			t.Fatalf("Hello() of the machine with the job = %+v, %v", a, err)
		}
		b, err := f.Hello(ctx, "10.0.0.9", "", hello(zero, uuid.NewString(), macB))
		if err != nil || b.Job != nil || b.Machine.ID == a.Machine.ID {
			t.Fatalf("Hello() of its clone = %+v, %v, want another machine without a job", b, err)
		}
	}
}

// TestTwoAddresses: the machine booted from one address, the operator knows the other; hello brings them together.
func TestTwoAddresses(t *testing.T) {
	ctx, f := t.Context(), open(t, Options{})
	boots(t, f, macA)
	_, j, err := f.Install(ctx, macB, order())
	if err != nil {
		t.Fatal(err)
	}
	g, err := f.Hello(ctx, "10.0.0.9", "", hello(uuidA, uuid.NewString(), macA, macB))
	if err != nil || g.Job == nil || g.Job.Spec.ID != j.Spec.ID {
		t.Fatalf("Hello() = %+v, %v, want the job", g, err)
	}
	if views := list(t, f); len(views) != 1 || len(views[0].Machine.Identity.MACs) != 2 {
		t.Errorf("List() = %+v, want one machine with two addresses", views)
	}
}

func TestTwoAtOnce(t *testing.T) {
	ctx, f := t.Context(), open(t, Options{})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			mac := fmt.Sprintf("52:54:00:00:01:%02x", i)
			boot := uuid.NewString()
			g, err := f.Hello(ctx, "10.0.0.9", "", hello("", boot, mac))
			if err != nil {
				t.Error(err)
				return
			}
			if _, _, err := f.Choose(ctx, g.proof(), order()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if views := list(t, f); len(views) != 8 {
		t.Errorf("List() has %d machines, want 8", len(views))
	}
}

func TestInstallRefuses(t *testing.T) {
	ctx, f := t.Context(), open(t, Options{})
	if _, _, err := f.Install(ctx, "nobody", order()); !errors.Is(err, ErrUnknown) {
		t.Errorf("Install(nobody) = %v, want ErrUnknown", err)
	}
	bad := Order{Disk: "biggest", Hostname: "a b", Args: []string{"x'y"}}
	_, _, err := f.Install(ctx, macA, bad)
	joined, ok := err.(interface{ Unwrap() []error })
	if !errors.Is(err, ErrInvalid) || !ok || len(joined.Unwrap()) != 4 {
		t.Errorf("Install(%+v) = %v, want all four mistakes", bad, err)
	}
	if _, _, err := f.Install(ctx, macA, order()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.Install(ctx, macA, order()); !errors.Is(err, ErrBusy) {
		t.Errorf("second Install() = %v, want ErrBusy", err)
	}
}

// TestReopen closes the file without a word and finds everything again, tokens too.
func TestReopen(t *testing.T) {
	ctx, file := t.Context(), filepath.Join(t.TempDir(), "fleet.db")
	f, err := Open(ctx, file, Options{})
	if err != nil {
		t.Fatal(err)
	}
	boot := uuid.NewString()
	g, err := f.Hello(ctx, "10.0.0.9", "", hello("", boot, macA))
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if f, err = Open(ctx, file, Options{}); err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Append(ctx, g.proof(), job.Events{Boot: boot, Events: []job.Event{{Seq: 1}}}); err != nil {
		t.Errorf("Append() after a restart = %v", err)
	}
	if _, err := f.db.Exec("PRAGMA user_version = 99"); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if _, err := Open(ctx, file, Options{}); err == nil {
		t.Error("Open() of a newer file succeeded")
	}
}

func TestDurability(t *testing.T) {
	f, err := Open(t.Context(), filepath.Join(t.TempDir(), "fleet.db"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1"} {
		var got string
		if err := f.db.QueryRow("PRAGMA " + pragma).Scan(&got); err != nil || got != want {
			t.Errorf("PRAGMA %s = %q, %v, want %q", pragma, got, err, want)
		}
	}
}

func TestSightedAreForgotten(t *testing.T) {
	ctx, f := t.Context(), open(t, Options{})
	if _, err := f.Hello(ctx, "10.0.0.9", "", hello("", uuid.NewString(), macA)); err != nil {
		t.Fatal(err)
	}
	for i := range maxSighted + 10 {
		boots(t, f, fmt.Sprintf("52:54:00:01:%02x:%02x", i>>8, i&255))
	}
	if views := list(t, f); len(views) != maxSighted+1 {
		t.Errorf("List() has %d machines, want %d", len(views), maxSighted+1)
	}
	if _, _, err := f.Show(ctx, macA); err != nil {
		t.Errorf("the machine that said hello is gone: %v", err)
	}
}

func TestLogWaits(t *testing.T) {
	f := open(t, Options{})
	if _, _, err := f.Install(t.Context(), macA, order()); err != nil {
		t.Fatal(err)
	}
	got := make(chan []Entry, 1)
	go func() {
		entries, err := f.Log(t.Context(), macA, 1, 10)
		if err != nil {
			t.Error(err)
		}
		got <- entries
	}()
	if _, err := f.Cancel(t.Context(), macA); err != nil {
		t.Fatal(err)
	}
	if entries := <-got; len(entries) != 1 || entries[0].Event.State != job.Cancelled {
		t.Errorf("Log() after 1 = %+v, want the cancelling", entries)
	}
	ctx, stop := context.WithTimeout(t.Context(), time.Millisecond)
	defer stop()
	if entries, err := f.Log(ctx, macA, 2, 10); err != nil || entries != nil {
		t.Errorf("Log() with nothing to come = %v, %v, want nothing", entries, err)
	}
}

// FuzzAgent feeds what agents send into an open fleet; nothing may panic, and what was taken in must come out again.
func FuzzAgent(f *testing.F) {
	f.Add([]byte(
		`{"boot":"7b7c0bd0-4a3a-4b94-b0ac-6c4a0c1f9f01","identity":{"uuid":"4C4C4544-0042-3510-8052-B4C04F4E4E32","macs":["52:54:00:00:00:0A"]},"inventory":{"disks":[{"path":"/dev/vda","model":"\u001b[31m","size":-1}]}}`),
		[]byte(`{"events":[{"seq":1,"job":"x","phase":"\u202e","level":"error","state":"started","disk":"S","time":"0000-01-01T00:00:00+23:59"},{"seq":2,"progress":{"done":-1,"total":0}}]}`))
	f.Add([]byte(`{}`), []byte(`{"events":[{"seq":18446744073709551615}]}`))
	fl, err := Open(f.Context(), filepath.Join(f.TempDir(), "fleet.db"), Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { fl.Close() })
	if _, err := fl.db.Exec("PRAGMA synchronous = OFF"); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, h, e []byte) {
		var hello job.Hello
		var events job.Events
		if json.Unmarshal(h, &hello) != nil || json.Unmarshal(e, &events) != nil {
			return
		}
		g, err := fl.Hello(t.Context(), "10.0.0.9", "", hello)
		if err != nil {
			return
		}
		events.Boot = hello.Boot
		if _, err := fl.Append(t.Context(), g.proof(), events); err != nil && !errors.Is(err, ErrInvalid) &&
			!errors.Is(err, ErrToken) {
			t.Fatalf("Append() = %v", err)
		}
		if _, _, err := fl.Show(t.Context(), g.Machine.ID); err != nil {
			t.Fatalf("Show() = %v", err)
		}
		if _, err := fl.read(t.Context(), g.Machine.ID, 0, 1000); err != nil {
			t.Fatalf("reading the journal = %v", err)
		}
	})
}
