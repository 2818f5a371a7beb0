package upkeep

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"griddle/appliance/job"
	"griddle/initramfs/chroot"
	"griddle/initramfs/mounttest"
	"griddle/initramfs/pool"
	"griddle/initramfs/pool/history"
	"griddle/initramfs/pool/pooltest"
	"griddle/initramfs/resident"
	"griddle/initramfs/resident/order"
	"griddle/initramfs/sysroot"
)

// TestMain runs the tests in a mount namespace of their own, so that other tests do not keep loop devices in use.
func TestMain(m *testing.M) {
	if dir := os.Getenv(serverEnv); dir != "" {
		fmt.Println("SERVER:", serve(dir))
		os.Exit(1)
	}
	chroot.Inside()
	mounttest.Own()
	os.Exit(m.Run())
}

// bed is a machine to run commands on, with a unit that carries out each order.
type bed struct {
	*Command
	t     *testing.T
	made  pooltest.Made
	tree  string // folder of the system that runs
	out   strings.Builder
	errs  strings.Builder
	asked []job.UpdateAsk
	did   []string

	end  order.Result // of each order
	deny error        // the server's answer
	idle bool         // the unit does nothing
}

func newBed(t *testing.T) *bed {
	t.Helper()
	b := &bed{t: t, made: pooltest.Installed(t), tree: t.TempDir(),
		end: order.Result{Image: "web:2@amd64", Root: "web-2@amd64", State: order.Switched}}
	pooltest.Put(t, b.made.Top, map[string]string{"@roots/two@amd64/.griddle-good": "",
		"@roots/two@amd64/etc/systemd/system/griddle-bless.service": ""})
	dir := t.TempDir()
	folder, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { folder.Close() })
	root, err := os.OpenRoot(b.tree)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	b.Command = &Command{Out: &b.out, Err: &b.errs, Orders: order.Open(dir, t.TempDir()), Folder: folder, Agent: "7",
		Look: time.Millisecond,
		Pool: func() (*pool.Pool, error) {
			return pool.Open(pool.Place{Job: pooltest.Job, Pool: b.made.Device, ESP: b.made.ESP})
		},
		Ask: func(_ context.Context, ask job.UpdateAsk) (job.Spec, error) {
			b.asked = append(b.asked, ask)
			spec := job.Spec{ID: strings.Repeat("x", len(b.asked)), Kind: job.Update, When: ask.When,
				Image: job.Image{Ref: "web:2@amd64"}}
			if b.deny == nil && !b.idle {
				go b.unit(spec)
			}
			return spec, b.deny
		},
		Carry:     func(context.Context) error { b.did = append(b.did, "carry"); return nil },
		Installed: func() bool { return resident.Installed(sysroot.Dir{Root: root}) },
		SetUp: func(context.Context) error {
			b.did = append(b.did, "set up")
			return resident.Install(sysroot.Dir{Root: root})
		},
		Restart: func(context.Context) error { b.did = append(b.did, "restart"); return nil },
	}
	if err := b.SetUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.did = nil
	return b
}

// unit carries out an order.
func (b *bed) unit(spec job.Spec) {
	for w, err := b.Orders.Waiting(); w == nil || err != nil; w, err = b.Orders.Waiting() {
		time.Sleep(time.Millisecond)
	}
	for n := range int64(5) {
		b.Orders.Tell(order.Progress{Job: spec.ID, Phase: job.PhaseReceive, Message: "receiving web:2@amd64",
			Progress: &job.Progress{Done: n, Total: 4}})
		time.Sleep(10 * time.Millisecond)
	}
	r := b.end
	r.Job, r.Time = spec.ID, time.Now()
	if err := b.Orders.End(r); err != nil {
		b.t.Error(err)
	}
}

// run runs a command line.
func (b *bed) run(line string) (code int, out string) {
	b.t.Helper()
	b.out.Reset()
	b.errs.Reset()
	ctx, stop := context.WithTimeout(b.t.Context(), time.Minute)
	defer stop()
	code = b.Run(ctx, strings.Fields(line))
	return code, b.out.String() + b.errs.String()
}

// The document's commands all work on a machine, in its order.
func TestDocument(t *testing.T) {
	text, err := os.ReadFile("../../docs/INSTALLED.md")
	if err != nil {
		t.Fatal(err)
	}
	b := newBed(t)
	seen := 0
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "griddle-agent mirror") || strings.HasPrefix(line, "griddle-agent kernels") ||
			strings.HasPrefix(line, "griddle-agent recover") {
			continue // packages griddle-agent, kernels and care have tests of them
		}
		if command, ok := strings.CutPrefix(line, "griddle-agent "); ok {
			seen++
			if code, out := b.run(command); code != 0 {
				t.Errorf("%s ends with %d:\n%s", line, code, out)
			}
			late := time.Now().Add(time.Minute)
			for r := b.Orders.Result(); strings.Contains(line, "--no-wait") && (r == nil || r.Job != "xxx"); {
				if time.Now().After(late) {
					t.Fatalf("%s: the order has no result: %+v", line, r)
				}
				time.Sleep(time.Millisecond)
				r = b.Orders.Result()
			}
		} else if command, ok := strings.CutPrefix(line, "systemctl enable --now "); ok {
			seen++
			pooltest.Tool(t, "systemctl", "--root="+b.tree, "enable", command)
			link := filepath.Join(b.tree, "etc/systemd/system/timers.target.wants", command)
			if _, err := os.Lstat(link); err != nil {
				t.Errorf("%s: %v", line, err)
			}
		}
	}
	if seen != 12 {
		t.Errorf("the document has %d commands for a machine, and this test knows 12", seen)
	}
	for _, name := range names {
		if !strings.Contains(string(text), "\n    griddle-agent "+name) {
			t.Errorf("the document does not show %s", name)
		}
	}
	if want := []string{"set up", "restart"}; !slices.Equal(b.did, want) {
		t.Errorf("the commands did %q, want %q", b.did, want)
	}
	if len(b.asked) != 4 || b.asked[0] != (job.UpdateAsk{}) || b.asked[1].Image != "web:stable" ||
		b.asked[1].When != job.WhenReboot || b.asked[2].When != "2026-11-30T05:00:00Z" || !b.asked[3].AllowOlder {
		t.Errorf("the server was asked %+v", b.asked)
	}
}

// What a person sees of an update, and of one that fails or cannot begin.
func TestUpdate(t *testing.T) {
	b := newBed(t)
	code, out := b.run("update")
	for _, want := range []string{"Updating to web:2@amd64", "receive    receiving web:2@amd64\n", "receive    50 %\n",
		"web-2@amd64 is ready: this machine restarts into it"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("update = %d without %q:\n%s", code, want, out)
		}
	}
	if _, out := b.run("status"); !strings.Contains(out, "the last one was to web:2@amd64") {
		t.Errorf("status after it:\n%s", out)
	}
	b.end.State, b.end.Message = order.Failed, "the pool has too little room; the machine runs as before"
	if code, out := b.run("update"); code != 1 || !strings.Contains(out, "update: the pool has too little room") {
		t.Errorf("an update that fails = %d:\n%s", code, out)
	}
	if _, out := b.run("status"); !strings.Contains(out, "the last one, to web:2@amd64, failed at") {
		t.Errorf("status after it:\n%s", out)
	}
	b.end.State = order.Current
	if code, out := b.run("update"); code != 0 || !strings.Contains(out, "runs web:2@amd64 already") {
		t.Errorf("an update to what runs = %d:\n%s", code, out)
	}
	b.deny = errors.New("the server refused: web:1 is older than web:2")
	if code, out := b.run("update --image web:1"); code != 1 || !strings.Contains(out, "is older than") {
		t.Errorf("a refused update = %d:\n%s", code, out)
	}
	b.deny = nil
	b.Ask = func(context.Context, job.UpdateAsk) (job.Spec, error) {
		return job.Spec{Kind: job.Update, Image: job.Image{Ref: "web:2@amd64"}}, nil
	}
	if code, out := b.run("update --no-wait"); code != 0 || !strings.Contains(out, "has web:2@amd64 already") {
		t.Errorf("an update when there is nothing newer = %d:\n%s", code, out)
	}
}

// A version that the server does not give to this machine by itself is no failure of the timer's unit. A person sees
// what the server says.
func TestWithheld(t *testing.T) {
	b := newBed(t)
	conflict := job.NewProblem(409, "web:2 already failed on lab-7, so the machine does not take it by itself")
	mistaken := *conflict
	mistaken.Mistakes = []job.Mistake{{Text: "no such user"}}
	for _, c := range []struct {
		line string
		deny error
		code int
	}{
		{"update --nightly --when reboot --no-wait", fmt.Errorf("asking for an update: %w", conflict), 0},
		{"update --when reboot --no-wait", conflict, 1},
		{"update", conflict, 1},
		{"update --nightly", &mistaken, 1},
		{"update --nightly", job.NewProblem(404, "web:2 already failed on"), 1},
	} {
		b.deny = c.deny
		if code, out := b.run(c.line); code != c.code || !strings.Contains(out, "web:2 already failed on") {
			t.Errorf("%s, refused with %v, is %d, want %d:\n%s", c.line, c.deny, code, c.code, out)
		}
	}
	if w, err := b.Orders.Waiting(); w != nil || err != nil {
		t.Errorf("left is %+v, %v", w, err)
	}
}

// An order that no one waits for is shown until the unit takes it.
func TestOrdered(t *testing.T) {
	b := newBed(t)
	b.idle = true
	if code, out := b.run("update --no-wait"); code != 0 || !strings.Contains(out, "is ordered") {
		t.Errorf("update --no-wait = %d:\n%s", code, out)
	}
	if _, out := b.run("status"); !strings.Contains(out, "web:2@amd64 is ordered") {
		t.Errorf("status with an order:\n%s", out)
	}
}

// TestTwoAtOnce: while an update waits or runs, a person cannot order another one or go back.
func TestTwoAtOnce(t *testing.T) {
	b := newBed(t)
	if err := b.Orders.Give(order.Order{Spec: job.Spec{ID: "x", Image: job.Image{Ref: "web:9"}}}); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"update", "rollback", "rollback two@amd64"} {
		if code, out := b.run(line); code != 1 || !strings.Contains(out, "an update to web:9 runs") {
			t.Errorf("%s = %d:\n%s", line, code, out)
		}
	}
	if len(b.asked) != 0 {
		t.Errorf("the server was asked %+v", b.asked)
	}
}

// TestOlderSystem: a system that was installed before there were updates says what to do.
func TestOlderSystem(t *testing.T) {
	b := newBed(t)
	if err := os.RemoveAll(filepath.Join(b.tree, "etc")); err != nil {
		t.Fatal(err)
	}
	if code, out := b.run("update"); code != 1 || !strings.Contains(out, "`griddle-agent update --set-up` installs") ||
		len(b.asked) != 0 {
		t.Errorf("update = %d:\n%s", code, out)
	}
	if code, out := b.run("update --set-up"); code != 0 || !strings.Contains(out, "can be updated now") {
		t.Errorf("update --set-up = %d:\n%s", code, out)
	}
	if code, out := b.run("update"); code != 0 {
		t.Errorf("then update = %d:\n%s", code, out)
	}
}

func TestRollback(t *testing.T) {
	b := newBed(t)
	for _, c := range []struct {
		line string
		code int
		want string
	}{
		{"rollback", 0, "The next 2 starts try two@amd64. If it does not prove itself, one@amd64 boots again."},
		{"status", 0, "next start   The next 2 starts try two@amd64."},
		{"rollback one@amd64", 0, "From the next start on, one@amd64 boots."},
		{"rollback three", 1, "does not have it"},
		{"rollback bare", 1, "no kernel"},
		{"rollback one@amd64 two@amd64", 2, "usage: griddle-agent rollback"},
		{"rollback --now", 2, "usage: griddle-agent rollback"},
		{"history", 0, "rolled-back  two@amd64"},
		{"status now", 2, "usage: griddle-agent status"},
		{"history --all", 2, "usage: griddle-agent history"},
		{"update --when tomorrow", 2, "is not a time to start the new root"},
		{"update web:2", 2, "usage: griddle-agent update"},
		{"rollback --help", 0, "Example: griddle-agent rollback"},
	} {
		if code, out := b.run(c.line); code != c.code || !strings.Contains(out, c.want) {
			t.Errorf("%s = %d, want %d and %q:\n%s", c.line, code, c.code, c.want, out)
		}
	}
	all, err := history.Read(b.Folder)
	if err != nil || len(all) != 2 || all[0].Kind != history.RolledBack || all[1].Root != "one@amd64" {
		t.Errorf("the history is %+v, %v", all, err)
	}
	if code, out := b.run("status --settle"); code != 0 || out != "" || len(b.Orders.Roots()) != 3 {
		t.Errorf("status --settle = %d, %q, and the roots are %+v", code, out, b.Orders.Roots())
	}
}

// Without a name the machine goes back to the root that runs if the next start would take another one, and not to one
// that runs on trial.
func TestFormer(t *testing.T) {
	good := pool.Root{Name: "good", Good: true, Kernel: true}
	runs := pool.Root{Name: "runs", Runs: true, Kernel: true}
	for _, c := range []struct {
		name      string
		candidate string
		boots     string
		want      string
	}{
		{"an update waits", "new", "new", "runs"},
		{"on trial", "runs", "good", "good"},
		{"nothing waits", "", "runs", "good"},
	} {
		all := pool.Contents{Candidate: c.candidate, Roots: []pool.Root{{Name: "new", Kernel: true}, runs, good}}
		for i, r := range all.Roots {
			all.Roots[i].Boots = r.Name == c.boots
		}
		if got, err := all.GoesBack(); err != nil || got != c.want {
			t.Errorf("%s: GoesBack = %q, %v, want %q", c.name, got, err, c.want)
		}
	}
}

// A history with a failure has the reason and the last lines.
func TestHistory(t *testing.T) {
	b := newBed(t)
	if code, out := b.run("history"); code != 0 || !strings.Contains(out, "Nothing is recorded") {
		t.Errorf("history = %d: %s", code, out)
	}
	if err := history.Append(b.Folder, history.Event{Kind: history.Failed, Root: "web-2@amd64",
		Reason: "web.service failed", Lines: []string{"no such file: /etc/web.conf"}}); err != nil {
		t.Fatal(err)
	}
	if code, out := b.run("history"); code != 0 ||
		!strings.Contains(out, "web.service failed\n  | no such file: /etc/web") {
		t.Errorf("history = %d: %s", code, out)
	}
}

// An image that is damaged is in the status as long as the pool has it, and in the history.
func TestDamagedImage(t *testing.T) {
	b := newBed(t)
	for _, name := range []string{"one@amd64", "gone@amd64"} {
		if err := history.Append(b.Folder, history.Event{Kind: history.Damaged, Image: name,
			Time: time.Now().Add(time.Minute), Reason: "etc/version differs"}); err != nil {
			t.Fatal(err)
		}
	}
	if code, out := b.run("status"); code != 0 || !strings.Contains(out, "\ndamaged      the image one@amd64;") ||
		strings.Contains(out, "gone@amd64") {
		t.Errorf("status = %d: %s", code, out)
	}
	if code, out := b.run("history"); code != 0 || !strings.Contains(out, "damaged      gone@amd64 ") ||
		!strings.Contains(out, "etc/version differs") {
		t.Errorf("history = %d: %s", code, out)
	}
}

// A person sees why nothing happens, and can leave.
func TestUnitMissing(t *testing.T) {
	b := newBed(t)
	b.idle = true
	ctx, stop := context.WithCancel(t.Context())
	time.AfterFunc(100*time.Millisecond, stop)
	if code := b.Run(ctx, []string{"update"}); code != 1 {
		t.Errorf("update = %d", code)
	}
	if w, err := b.Orders.Waiting(); w == nil || err != nil {
		t.Errorf("the order is %+v, %v, and should continue", w, err)
	}
	if _, err := exec.LookPath("systemctl"); err != nil {
		t.Errorf("%v (apt-get install systemd)", err)
	}
}
