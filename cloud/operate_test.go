package cloud

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"griddle/cloud/plan/plantest"
	"griddle/cloud/provider"
	"griddle/cloud/provider/providertest"
	"griddle/cloud/provider/retry"
	"griddle/cloud/stack"
)

func TestUpgrade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		s := plantest.Demo()
		s.Settings.Parallel = 1
		b.up(t, s)
		before := b.m.All()
		b.cat.stable = "web:2"
		golden(t, "plan-newer.txt", b.planned(t, s, false))
		if p := b.up(t, s); !p.Empty() {
			t.Errorf("Up with a newer version in the catalog plans\n%s", printed(t, p, false))
		}
		away, most := 0, 0
		b.m.After = func(_ context.Context, c providertest.Call) error {
			if c.Kind == provider.KindServer && c.Op == "remove" {
				away++
			}
			if c.Kind == provider.KindServer && c.Op == "ensure" {
				away--
			}
			most = max(most, away)
			return nil
		}
		b.said.Reset()
		p, err := b.Upgrade(t.Context(), s, nil, Options{})
		if err != nil {
			t.Fatal(err)
		}
		golden(t, "plan-upgrade.txt", printed(t, p, false))
		golden(t, "upgrade.txt", b.output())
		if most != 1 {
			t.Errorf("%d servers were away at once", most)
		}
		for _, old := range before {
			now := find(b.m, old.Kind, old.Name)
			if now == nil || old.Kind != provider.KindServer && old.Kind != provider.KindImage && now.ID != old.ID {
				t.Errorf("%s %s is another one after the upgrade: %+v", old.Kind, old.Name, now)
			} else if old.Kind == provider.KindServer &&
				(now.Private != old.Private || now.Public != old.Public || now.ID == old.ID || now.Image == old.Image) {
				t.Errorf("server %s was %+v and is %+v", old.Name, old, *now)
			}
		}
		// And back.
		if _, err := b.Upgrade(t.Context(), s, map[string]string{"web:stable": "web:1"},
			Options{AtOnce: 2}); err != nil {
			t.Fatal(err)
		}
		if st, err := b.Status(t.Context(), "demo"); err != nil || st.Servers[2].Image != "web:1" {
			t.Errorf("Status = %+v, %v, want servers of web:1", st, err)
		}
	})
}

// TestUpgradeStops has the first server of the new version not come up: the others stay.
func TestUpgradeStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.up(t, plantest.Demo())
		b.cat.stable = "web:2"
		b.sh.exits["worker-1"] = 1
		_, err := b.Upgrade(t.Context(), plantest.Demo(), nil, Options{})
		var stage *StageError
		if !errors.As(err, &stage) || stage.Stage != 6 || b.m.Made(provider.KindServer, "demo", "worker-2") != 1 {
			t.Fatalf("Upgrade = %v, and worker-2 was made %d times", err,
				b.m.Made(provider.KindServer, "demo", "worker-2"))
		}
		if _, err := os.Stat(stage.Log); err != nil {
			t.Errorf("the log of the stage: %v", err)
		}
		b.sh.exits["worker-1"] = 0
		b.up(t, plantest.Demo()) // goes on with it
		if n := b.m.Made(provider.KindServer, "demo", "worker-2"); n != 2 {
			t.Errorf("then worker-2 was made %d times, want 2", n)
		}
	})
}

func find(m *providertest.Memory, kind provider.Kind, name string) *provider.Resource {
	for _, r := range m.All() {
		if r.Kind == kind && r.Name == name {
			return &r
		}
	}
	return nil
}

func TestScale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.up(t, plantest.Demo())
		for _, n := range []int{0, 6} {
			if _, err := b.Scale(t.Context(), plantest.Demo(), "worker", n, Options{}); err == nil {
				t.Errorf("Scale to %d worked", n)
			}
		}
		if _, err := b.Scale(t.Context(), plantest.Demo(), "none", 1, Options{}); err == nil {
			t.Error("Scale of a role that is not there worked")
		}
		if _, err := b.Scale(t.Context(), plantest.Demo(), "worker", 4, Options{}); err != nil {
			t.Fatal(err)
		}
		kept := find(b.m, provider.KindServer, "worker-4")
		if kept == nil || kept.Private.String() != "10.77.0.14" {
			t.Fatalf("worker-4 is %+v", kept)
		}
		if p := b.up(t, plantest.Demo()); !p.Empty() { // the number is kept
			t.Errorf("Up after Scale plans\n%s", printed(t, p, false))
		}
		p, err := b.Scale(t.Context(), plantest.Demo(), "worker", 1, Options{})
		if err != nil {
			t.Fatal(err)
		}
		golden(t, "plan-scaled-down.txt", printed(t, p, false))
		if _, err := b.Scale(t.Context(), plantest.Demo(), "worker", 2, Options{}); err != nil {
			t.Fatal(err)
		}
		s, err := b.State.Load("demo")
		if err != nil || len(s.Scale) != 0 || len(s.Servers) != 3 {
			t.Errorf("at the declared number the state has scale %v and %d servers, %v", s.Scale, len(s.Servers), err)
		}
	})
}

// TestChanged changes the declaration of a stack that stands.
func TestChanged(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*stack.Stack)
		same   bool // every server stays the same one
	}{
		{"nothing", func(*stack.Stack) {}, true},
		{"size", func(s *stack.Stack) { s.Servers[1].Size = "large" }, false},
		{"port", func(s *stack.Stack) {
			s.Servers[0].Ports = append(s.Servers[0].Ports, stack.Port{Protocol: "udp", From: 1194, To: 1194})
		}, true},
		{"port of one worker", func(s *stack.Stack) {
			s.Servers[2].Ports = []stack.Port{
				{Protocol: "icmp", Source: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}}
		}, true},
		{"volume grows", func(s *stack.Stack) { s.Servers[0].Volumes[0].Size = 5 << 30 }, true},
		{"volume shrinks", func(s *stack.Stack) { s.Servers[0].Volumes[0].Size = 1 << 30 }, true},
		{"volume goes", func(s *stack.Stack) { s.Servers[0].Volumes = nil }, true},
		{"volume comes", func(s *stack.Stack) { s.Servers[1].Volumes = []stack.Volume{{Name: "data", Size: 1 << 30}} },
			true},
		{"public address goes", func(s *stack.Stack) { s.Servers[0].Public = false }, true},
		{"public address comes", func(s *stack.Stack) { s.Servers[2].Public = true }, true},
		{"server goes", func(s *stack.Stack) { s.Servers, s.Roles[1].Count = s.Servers[:2], 1 }, true},
		{"network", func(s *stack.Stack) { s.Network.Prefix = netip.MustParsePrefix("10.78.0.0/24") }, false},
		{"address", func(s *stack.Stack) { s.Servers[2].Address = netip.MustParseAddr("10.77.0.11") }, false},
		{"address of another", func(s *stack.Stack) {
			s.Servers[1].Address, s.Servers[2].Address = netip.MustParseAddr("10.77.0.12"),
				netip.MustParseAddr("10.77.0.11")
		}, false},
		{"secret of the environment",
			func(s *stack.Stack) { s.Secrets[1] = stack.Secret{Name: "api", Generate: 8} }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				b.up(t, plantest.Demo())
				before := b.m.All()
				s := plantest.Demo()
				c.change(s)
				golden(t, "changed-"+strings.ReplaceAll(c.name, " ", "-")+".txt", b.planned(t, s, false))
				b.up(t, s)
				if p := b.up(t, s); !p.Empty() {
					t.Errorf("once more is planned\n%s", printed(t, p, false))
				}
				same := !slices.ContainsFunc(before, func(old provider.Resource) bool {
					now := find(b.m, old.Kind, old.Name)
					return now != nil && now.ID != old.ID
				})
				if same != c.same {
					t.Errorf("all that stays is the same: %v, want %v\n%s", same, c.same, b.said)
				}
			})
		})
	}
}

func TestControl(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.up(t, plantest.Demo())
		states := func() string {
			st, err := b.Status(t.Context(), "demo")
			if err != nil {
				t.Fatal(err)
			}
			var out []string
			for _, v := range st.Servers {
				out = append(out, v.Name+" "+string(v.State))
			}
			return strings.Join(out, ", ")
		}
		for _, c := range []struct {
			pick Pick
			do   provider.Action
			want string
		}{
			{Pick{All: true}, provider.Stop, "head-1 stopped, worker-1 stopped, worker-2 stopped"},
			{Pick{All: true}, provider.Stop, "head-1 stopped, worker-1 stopped, worker-2 stopped"},
			{Pick{Minimum: true}, provider.Start, "head-1 ready, worker-1 ready, worker-2 stopped"},
			{Pick{Role: "worker"}, provider.Start, "head-1 ready, worker-1 ready, worker-2 ready"},
			{Pick{Servers: []string{"worker-1"}}, provider.Reboot, "head-1 ready, worker-1 ready, worker-2 ready"},
			{Pick{Servers: []string{"head-1"}}, provider.Stop, "head-1 stopped, worker-1 ready, worker-2 ready"},
		} {
			if err := b.Control(t.Context(), "demo", c.pick, c.do, ControlOptions{}); err != nil {
				t.Errorf("Control(%+v, %s) = %v", c.pick, c.do, err)
			}
			if got := states(); got != c.want {
				t.Errorf("after %s of %+v: %s, want %s", c.do, c.pick, got, c.want)
			}
		}
		for _, p := range []Pick{{}, {All: true, Role: "worker"}, {Role: "none"}, {Servers: []string{"none"}}} {
			if err := b.Control(t.Context(), "demo", p, provider.Start, ControlOptions{}); err == nil {
				t.Errorf("Control(%+v) worked", p)
			}
		}
		if err := b.Control(t.Context(), "other", Pick{All: true}, provider.Stop,
			ControlOptions{}); !errors.Is(err, provider.ErrNotFound) {
			t.Errorf("Control of a stack that is not there = %v", err)
		}
		if all, err := os.ReadDir(b.State.Dir); err != nil || len(all) != 1 {
			t.Errorf("then the directory of stacks has %v, %v", all, err)
		}
		targets, err := b.Targets(t.Context(), "demo", Pick{Role: "worker"})
		if err != nil || len(targets) != 2 || targets[0].Address.String() != "10.77.0.11" || targets[0].User != "ops" ||
			targets[0].Port != 22 {
			t.Errorf("Targets = %+v, %v", targets, err)
		}
	})
}

// TestControlWaitsForLogin has servers take their time: a reboot ends with another boot that answers, a
// start with an answer.
func TestControlWaitsForLogin(t *testing.T) {
	for _, c := range []struct {
		name   string
		do     provider.Action
		before func(*bench)
		o      ControlOptions
		want   error
		after  int // "worker-1" was asked at least so often since
	}{
		{name: "reboot", do: provider.Reboot,
			before: func(b *bench) { b.sh.slow = map[string]int{"worker-1": 3} }, after: 5},
		{name: "reboot without an answer before", do: provider.Reboot,
			before: func(b *bench) { b.sh.boot["worker-1"] = 3 }, after: 4},
		{name: "reboot that never happens", do: provider.Reboot,
			before: func(b *bench) { b.sh.slow = map[string]int{"worker-1": 1 << 20} }, want: retry.ErrLate},
		{name: "reboot, not waited for", do: provider.Reboot,
			before: func(b *bench) { b.sh.boot["worker-1"] = 1 << 20 }, o: ControlOptions{NoWait: true}},
		{name: "start", do: provider.Start,
			before: func(b *bench) { b.m.PowerOff("demo", "worker-1"); b.sh.boot["worker-1"] = 4 }, after: 5},
		{name: "start of one that runs", do: provider.Start,
			before: func(b *bench) { b.sh.boot["worker-1"] = 1 << 20 }},
		{name: "start without an answer", do: provider.Start,
			before: func(b *bench) { b.m.PowerOff("demo", "worker-1"); b.sh.boot["worker-1"] = 1 << 20 },
			want:   retry.ErrLate},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				b.up(t, plantest.Demo())
				c.before(b)
				ran := len(b.sh.ran)
				err := b.Control(t.Context(), "demo", Pick{Servers: []string{"worker-1"}}, c.do, c.o)
				if !errors.Is(err, c.want) {
					t.Errorf("Control = %v, want %v", err, c.want)
				}
				asked := len(b.sh.ran) - ran
				if asked < c.after || c.o.NoWait && asked > 0 {
					t.Errorf("worker-1 was asked %d times, want %d: %q", asked, c.after, b.sh.ran[ran:])
				}
			})
		})
	}
}

func TestUserData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		want := "#cloud-config\n# worker-1 ${secret.db} 10.77.0.10\n# ${secret.api} ${role.head.outputs.token} " +
			"${role.head.outputs.id} 10.77.0.11 10.77.0.12\n"
		for range 2 {
			got, err := b.UserData(t.Context(), plantest.Demo(), "worker-1")
			if err != nil || string(got) != want {
				t.Errorf("UserData = %q, %v, want %q", got, err, want)
			}
			b.up(t, plantest.Demo())
			want = strings.Replace(want, "${role.head.outputs.id}", "c1", 1)
		}
		if _, err := b.UserData(t.Context(), plantest.Demo(), "none"); err == nil {
			t.Error("UserData of no server worked")
		}
	})
}
