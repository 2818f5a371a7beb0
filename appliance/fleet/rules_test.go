package fleet

import (
	"errors"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"griddle/appliance/job"
	"griddle/appliance/rule"
	"griddle/netboot"
)

// lab is a rule for the machines of a subnet.
func lab() rule.Rule {
	return rule.Rule{Name: "lab", Match: rule.Match{Subnet: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")}},
		Install: &rule.Install{Image: "web:stable", Disk: "largest", Settings: []byte(`{"zone":"Europe/Berlin"}`)}}
}

// dell is a rule for machines that say of themselves what they are.
func dell() rule.Rule {
	return rule.Rule{Name: "dell", Match: rule.Match{Vendor: "Dell*", Model: "OptiPlex*", Memory: "1G..",
		Disk: &job.Match{Size: "1G.."}}, Install: &rule.Install{Image: "web:stable", Disk: "largest"}}
}

func setRules(t *testing.T, f *Fleet, rules ...rule.Rule) {
	t.Helper()
	if _, err := f.SetRules(t.Context(), rule.Document{Version: 1, Rules: rules}, ""); err != nil {
		t.Fatal(err)
	}
}

// bootsAt is boots of a machine with an address.
func bootsAt(t *testing.T, f *Fleet, mac, from string) netboot.Action {
	t.Helper()
	hw, err := net.ParseMAC(mac)
	if err != nil {
		t.Fatal(err)
	}
	spec, err := f.Boot(t.Context(), netboot.Machine{MAC: hw, Address: netip.MustParseAddr(from)})
	if err != nil {
		t.Fatal(err)
	}
	return spec.Action
}

// optiplex is what a machine says that the rule dell is for.
func optiplex(boot string, macs ...string) job.Hello {
	h := hello(uuidA, boot, macs...)
	h.Identity.Vendor, h.Identity.Product = "Dell Inc.", "OptiPlex 7090"
	h.Inventory.Disks = []job.Disk{{Path: "/dev/sda", Serial: "S1", Size: 64 << 30, Sampled: job.Zeros}}
	return h
}

// follow has the rule of a greeting make its job.
func follow(t *testing.T, f *Fleet, g Greeting, key string) Job {
	t.Helper()
	if g.Rule == nil {
		t.Fatalf("Hello() = %+v, want a rule", g)
	}
	j, home, err := f.Follow(t.Context(), Proof{g.Token, key}, *g.Rule, order())
	if err != nil || home == "" {
		t.Fatalf("Follow() = %+v, %q, %v", j, home, err)
	}
	return j
}

// TestRuleInstalls is the way of a machine that a rule installs. Wherever the server stops, the machine loses its power
// or the rules change, there is one job; and after that the machine boots its disk.
func TestRuleInstalls(t *testing.T) {
	c := newClock()
	file := filepath.Join(t.TempDir(), "fleet.db")
	f, err := Open(t.Context(), file, Options{Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { f.Close() }()
	restart := func() {
		t.Helper()
		f.Close()
		if f, err = Open(t.Context(), file, Options{Now: c.now}); err != nil {
			t.Fatal(err)
		}
	}
	setRules(t, f, lab())
	restart()
	if got := bootsAt(t, f, macA, "10.0.1.9"); got != netboot.Menu {
		t.Errorf("a machine elsewhere boots %v", got)
	}
	if got := bootsAt(t, f, macA, "10.0.0.9"); got != netboot.Agent {
		t.Errorf("it boots %v, want the agent", got)
	}
	boot := uuid.NewString()
	say(t, f, "10.0.0.9", uuidA, boot, macA)
	restart()
	g := say(t, f, "10.0.0.9", uuidA, boot, macA)
	j := follow(t, f, g, "")
	if j.Origin != ByRule || j.Spec.Erase != "" || j.Spec.Plan != "" || j.Spec.Disk != "largest" {
		t.Errorf("the job is %+v", j)
	}
	if _, _, err := f.Follow(t.Context(), g.proof(), lab(), order()); !errors.Is(err, ErrOver) {
		t.Errorf("a second Follow() = %v, want ErrOver", err)
	}
	again := func(when string) {
		t.Helper()
		restart()
		c.pass(2 * time.Minute)
		if got := bootsAt(t, f, macA, "10.0.0.9"); got != netboot.Agent {
			t.Errorf("%s it boots %v", when, got)
		}
		boot = uuid.NewString()
		g = say(t, f, "10.0.0.9", uuidA, boot, macA)
		if g.Job == nil || g.Job.Spec.ID != j.Spec.ID || g.Rule != nil || g.Home == "" {
			t.Fatalf("%s its hello gets %+v", when, g)
		}
	}
	again("before it began")
	send(t, f, g, boot, job.Event{Seq: 1, Job: j.Spec.ID, State: job.Started, Disk: "S1"})
	again("while it installs")
	changed := lab()
	changed.Install.Image = "web:other"
	setRules(t, f, changed)
	again("after the rule changed")
	setRules(t, f)
	again("without the rule")
	send(t, f, g, boot, job.Event{Seq: 1, Job: j.Spec.ID, State: job.Started, Disk: "S1"},
		job.Event{Seq: 2, Job: j.Spec.ID, State: job.Done})
	for _, rules := range [][]rule.Rule{nil, {lab()}, {changed}, {{Name: "all", Boot: rule.Agent}}} {
		setRules(t, f, rules...)
		restart()
		if got := bootsAt(t, f, macA, "10.0.0.9"); got != netboot.Local {
			t.Errorf("installed it boots %v with the rules %v", got, rules)
		}
		if g := say(t, f, "10.0.0.9", uuidA, uuid.NewString(), macA); g.Job != nil || g.Rule != nil {
			t.Errorf("installed its hello gets %+v", g)
		}
	}
	_, jobs, err := f.Show(t.Context(), macA)
	if err != nil || len(jobs) != 1 || jobs[0].State != job.Done {
		t.Errorf("Show() = %+v, %v, want one job", jobs, err)
	}
	d, err := f.Declared(t.Context(), macA)
	if v := d.Installed; err != nil || v.From != "rule lab" || encode(v) != `{"zone":"Europe/Berlin"}` {
		t.Errorf("Declared() = %+v, %v", v, err)
	}
}

// TestRuleFails gives a machine no second job after the first one failed or was cancelled, until the rule is another
// one.
func TestRuleFails(t *testing.T) {
	for _, end := range []string{"failed", "cancelled"} {
		f := open(t, Options{})
		setRules(t, f, lab())
		boot := uuid.NewString()
		g := say(t, f, "10.0.0.9", uuidA, boot, macA)
		j := follow(t, f, g, "")
		if end == "cancelled" {
			if _, err := f.Cancel(t.Context(), macA); err != nil {
				t.Fatal(err)
			}
		} else {
			send(t, f, g, boot, job.Event{Seq: 1, Job: j.Spec.ID, State: job.Failed, Level: job.Error, Message: "no"})
		}
		for range 3 {
			if got := bootsAt(t, f, macA, "10.0.0.9"); got != netboot.Menu {
				t.Errorf("%s: it boots %v", end, got)
			}
			if g := say(t, f, "10.0.0.9", uuidA, uuid.NewString(), macA); g.Job != nil || g.Rule != nil {
				t.Errorf("%s: its hello gets %+v", end, g)
			}
		}
		changed := lab()
		changed.Install.Disk = "smallest"
		setRules(t, f, changed)
		if got := bootsAt(t, f, macA, "10.0.0.9"); got != netboot.Agent {
			t.Errorf("%s: with another rule it boots %v", end, got)
		}
		follow(t, f, say(t, f, "10.0.0.9", uuidA, uuid.NewString(), macA), "")
		setRules(t, f, lab()) // the first one again
		if _, err := f.Cancel(t.Context(), macA); err != nil {
			t.Fatal(err)
		}
		if g := say(t, f, "10.0.0.9", uuidA, uuid.NewString(), macA); g.Rule != nil {
			t.Errorf("%s: the first rule acts again", end)
		}
	}
}

// TestRuleStops notes once why a rule installs nothing. The machine then boots as without it, and if the reason is gone
// the rule acts.
func TestRuleStops(t *testing.T) {
	ctx, f := t.Context(), open(t, Options{})
	setRules(t, f, lab())
	boot := uuid.NewString()
	for range 3 {
		g := say(t, f, "10.0.0.9", uuidA, boot, macA)
		if g.Rule == nil {
			t.Fatal("the rule does not act")
		}
		_, err := f.StopRule(ctx, g.proof(), *g.Rule, "disk /dev/sda is not blank\x1b[31m: ntfs")
		if err != nil {
			t.Fatal(err)
		}
	}
	log, err := f.read(ctx, macA, 0, 100)
	if err != nil || strings.Count(encode(log), "rule lab installs nothing here: disk /dev/sda is not blank [31m: "+
		"ntfs") !=
		1 {
		t.Errorf("the journal is %s, %v", encode(log), err)
	}
	if got := bootsAt(t, f, macA, "10.0.0.9"); got != netboot.Menu {
		t.Errorf("it boots %v", got)
	}
	follow(t, f, say(t, f, "10.0.0.9", uuidA, uuid.NewString(), macA), "")
}

// TestRuleErasesNothing refuses each order by which data could be lost.
func TestRuleErasesNothing(t *testing.T) {
	ctx, f := t.Context(), open(t, Options{})
	setRules(t, f, lab())
	g := say(t, f, "10.0.0.9", uuidA, uuid.NewString(), macA)
	erase, plan, kind, update := order(), order(), order(), order()
	erase.Erase = "S1"
	plan.Disk, plan.Plan = "", "sha256:"+strings.Repeat("0", 64)
	plan.Layout = []byte(`{"version":1,"disks":[{"id":"a","match":{"size":"largest"},"wipe":true,"partitions":` +
		`[{"id":"esp","use":"esp"},{"id":"pool","use":"pool","size":"rest"}]}]}`)
	kind.Kind, kind.Image, kind.Disk, kind.Erase = job.Erase, job.Image{}, "", "S1"
	update.Kind, update.Disk = job.Update, ""
	for i, o := range []Order{erase, plan, kind, update} {
		if j, _, err := f.Follow(ctx, g.proof(), *g.Rule, o); !errors.Is(err, ErrInvalid) {
			t.Errorf("Follow() of order %d = %+v, %v, want ErrInvalid", i, j, err)
		}
	}
	if _, jobs, err := f.Show(ctx, macA); err != nil || len(jobs) != 0 {
		t.Errorf("Show() = %+v, %v", jobs, err)
	}
}

// TestRuleClaims is the attack of a stranger who claims to be a machine for which there is a rule: by vendor, model,
// memory, disks, address and UUID. In each mode it gets a code and nothing else, before and after the machine itself
// was approved; and no later rule.
func TestRuleClaims(t *testing.T) {
	for _, mode := range []Enrolment{EnrolOpen, EnrolApprove} {
		t.Run(string(mode), func(t *testing.T) {
			ctx, f := t.Context(), open(t, Options{Enrolment: mode})
			setRules(t, f, dell(), rule.Rule{Name: "others", Boot: rule.Local})
			greet := func(from, key string) (Greeting, string) {
				t.Helper()
				boot := uuid.NewString()
				g, err := f.Hello(ctx, from, key, optiplex(boot, macA))
				if err != nil {
					t.Fatal(err)
				}
				return g, boot
			}
			opensNothing := func(when string) {
				t.Helper()
				for _, key := range []string{"eve", ""} {
					g, boot := greet(stranger, key)
					by := Proof{g.Token, key}
					if !g.Waiting || g.Job != nil || g.Rule != nil || g.Home != "" || len(g.Unfinished) > 0 {
						t.Errorf("%s the stranger gets %+v", when, g)
					}
					if _, _, err := f.Follow(ctx, by, dell(), order()); !errors.Is(err, ErrUnapproved) &&
						!errors.Is(err, ErrOver) {
						t.Errorf("%s Follow() of the stranger = %v", when, err)
					}
					if _, _, err := f.Choose(ctx, by, order()); !errors.Is(err, ErrUnapproved) {
						t.Errorf("%s Choose() of the stranger = %v", when, err)
					}
					if a, err := f.Asking(ctx, by); !errors.Is(err, ErrOver) {
						t.Errorf("%s Asking() of the stranger = %+v, %v", when, a, err)
					}
					_, jobs, err := f.Show(ctx, macA)
					if err != nil {
						t.Fatal(err)
					}
					for _, j := range jobs {
						send := job.Events{Boot: boot, Events: []job.Event{{Seq: 1, Job: j.Spec.ID, State: job.Failed}}}
						if _, err := f.Append(ctx, by, send); err != nil {
							t.Fatal(err)
						}
						if _, now, err := f.Show(ctx, macA); err != nil || now[0].State != j.State {
							t.Errorf("%s the stranger ends the job: %+v, %v", when, now[0], err)
						}
					}
				}
			}
			opensNothing("at first")
			g, _ := greet("10.0.0.9", "ada")
			if !g.Waiting || g.Code == "" {
				t.Fatalf("the machine gets %+v, want a code", g)
			}
			if _, err := f.Approve(ctx, macA, g.Code); err != nil {
				t.Fatal(err)
			}
			opensNothing("after the approval")
			g, boot := greet("10.0.0.9", "ada")
			j := follow(t, f, g, "ada")
			opensNothing("with its job")
			if g, _ := greet("10.0.0.9", "ada"); g.Job == nil || g.Job.Spec.ID != j.Spec.ID {
				t.Errorf("the machine gets %+v", g)
			}
			setRules(t, f) // the job stays one for approved boots
			if g, _ := greet(stranger, "eve"); g.Job != nil || !g.Waiting {
				t.Errorf("without the rule the stranger gets %+v", g)
			}
			if _, err := f.Append(ctx, Proof{g.Token, "ada"}, job.Events{Boot: boot, Events: []job.Event{{Seq: 1,
				Job: j.Spec.ID, State: job.Started, Disk: "S1"}}}); err != nil {
				t.Fatal(err)
			}
			if _, jobs, err := f.Show(ctx, macA); err != nil || jobs[0].State != job.Started {
				t.Errorf("Show() = %+v, %v", jobs, err)
			}
		})
	}
}

// TestRuleOfNamedMachines: who spoofs the address and UUID of a machine that an operator named gets no more than the
// rule for unknown machines gives: less, it waits.
func TestRuleOfNamedMachines(t *testing.T) {
	named, yes, no := dell(), true, false
	named.Name, named.Match = "named", rule.Match{Named: &yes}
	unknown := lab()
	unknown.Name, unknown.Match = "unknown", rule.Match{Named: &no}
	f := open(t, Options{})
	setRules(t, f, named, unknown)
	if _, err := f.Rename(t.Context(), say(t, f, "10.0.0.9", uuidA, uuid.NewString(), macA).Machine.Name,
		"lab-7"); err != nil {
		t.Fatal(err)
	}
	if g := say(t, f, stranger, uuidA, uuid.NewString(), macA); !g.Waiting || g.Rule != nil || g.Job != nil {
		t.Errorf("the stranger gets %+v", g)
	}
	if g := say(t, f, stranger, uuidA, uuid.NewString(), macB); g.Waiting || g.Rule == nil || g.Rule.Name != "unknown" {
		t.Errorf("as an unknown machine it gets %+v", g)
	}
	if got := bootsAt(t, f, macA, stranger); got != netboot.Agent {
		t.Errorf("the machine boots %v", got)
	}
}

// TestSightingClaims has what a machine said about itself count at network boot only after an operator named it.
func TestSightingClaims(t *testing.T) {
	f := open(t, Options{})
	local := dell()
	local.Install, local.Boot = nil, rule.Local
	setRules(t, f, local)
	if _, err := f.Hello(t.Context(), "10.0.0.9", "", optiplex(uuid.NewString(), macA)); err != nil {
		t.Fatal(err)
	}
	if got := boots(t, f, macA); got != netboot.Menu {
		t.Errorf("it boots %v", got)
	}
	if _, err := f.Rename(t.Context(), macA, "lab-7"); err != nil {
		t.Fatal(err)
	}
	if got := boots(t, f, macA); got != netboot.Local {
		t.Errorf("named it boots %v", got)
	}
}

// TestFirstRuleWins at network boot and at hello.
func TestFirstRuleWins(t *testing.T) {
	first, second := lab(), lab()
	second.Name, second.Install.Image = "second", "other"
	f := open(t, Options{})
	setRules(t, f, rule.Rule{Name: "one", Match: rule.Match{MAC: []string{macB}}, Boot: rule.Local}, first, second)
	if got := bootsAt(t, f, macB, "10.0.0.9"); got != netboot.Local {
		t.Errorf("it boots %v", got)
	}
	if g := say(t, f, "10.0.0.9", uuidB, uuid.NewString(), macB); g.Rule != nil || g.Waiting {
		t.Errorf("it gets %+v", g)
	}
	if g := say(t, f, "10.0.0.9", uuidA, uuid.NewString(), macA); g.Rule == nil || g.Rule.Name != "lab" {
		t.Errorf("it gets %+v", g)
	}
}

// TestRuleOnce boots the agent once, and after that the disk; also after a restart of the server.
func TestRuleOnce(t *testing.T) {
	c := newClock()
	f := open(t, Options{Now: c.now})
	setRules(t, f, rule.Rule{Name: "once", Boot: rule.Agent, Once: true})
	for i, want := range []netboot.Action{netboot.Agent, netboot.Agent, netboot.Local, netboot.Local} {
		if i == 2 {
			c.pass(2 * time.Minute)
		}
		if got := boots(t, f, macA); got != want {
			t.Errorf("boot %d is %v, want %v", i, got, want)
		}
	}
	// What cannot be written down does not happen again and again.
	f.o.Spare = 1 << 60
	if got := boots(t, f, macB); got != netboot.Local {
		t.Errorf("with a full disk it boots %v", got)
	}
}

// TestRuleOpensNoEnrolment: a rule asks for more than the enrolment of the server, and never for less.
func TestRuleOpensNoEnrolment(t *testing.T) {
	f := open(t, Options{Enrolment: EnrolClosed})
	setRules(t, f, lab())
	if _, err := f.Hello(t.Context(), "10.0.0.9", "", hello(uuidA, uuid.NewString(), macA)); !errors.Is(err,
		ErrClosed) {
		t.Errorf("Hello() = %v, want ErrClosed", err)
	}
	f = open(t, Options{Enrolment: EnrolApprove})
	setRules(t, f, lab())
	if g := prove(t, f, "ada", uuid.NewString(), macA); !g.Waiting || g.Rule != nil {
		t.Errorf("Hello() = %+v, want it to wait", g)
	}
	f = open(t, Options{})
	setRules(t, f, rule.Rule{Name: "all", Approval: true})
	if _, _, err := f.Install(t.Context(), macA, order()); err != nil {
		t.Fatal(err)
	}
	g := prove(t, f, "ada", uuid.NewString(), macA)
	if !g.Waiting || g.Code == "" || g.Job != nil {
		t.Errorf("Hello() = %+v, want it to wait", g)
	}
	if _, err := f.Approve(t.Context(), macA, g.Code); err != nil {
		t.Fatal(err)
	}
	if g := prove(t, f, "ada", uuid.NewString(), macA); g.Waiting || g.Job == nil {
		t.Errorf("Hello() after the approval = %+v", g)
	}
}

// TestOrderBeforeRule has an operator's order take the place of a rule's job that waits, but not of one that runs.
func TestOrderBeforeRule(t *testing.T) {
	ctx, f := t.Context(), open(t, Options{})
	setRules(t, f, lab())
	boot := uuid.NewString()
	g := say(t, f, "10.0.0.9", uuidA, boot, macA)
	j := follow(t, f, g, "")
	send(t, f, g, boot, job.Event{Seq: 1, Job: j.Spec.ID, State: job.Started, Disk: "S1"})
	if _, _, err := f.Install(ctx, macA, order()); !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(),
		"by a rule") {
		t.Errorf("Install() while the rule's job runs = %v, want ErrBusy", err)
	}
	g = say(t, f, "10.0.0.9", uuidB, uuid.NewString(), macB)
	follow(t, f, g, "")
	if _, j, err := f.Install(ctx, macB, order()); err != nil || j.Origin != Operator {
		t.Errorf("Install() while the rule's job waits = %+v, %v", j, err)
	}
	if _, jobs, err := f.Show(ctx, macB); err != nil || len(jobs) != 2 || jobs[1].State != job.Failed {
		t.Errorf("Show() = %+v, %v", jobs, err)
	}
}

// TestSetRules stores valid rules, and only over those that the operator has read.
func TestSetRules(t *testing.T) {
	ctx, f := t.Context(), open(t, Options{})
	first := f.Rules()
	if len(first.Rules) != 0 || first.Tag == "" || !first.Changed.IsZero() {
		t.Errorf("Rules() at first = %+v", first)
	}
	if _, err := f.SetRules(ctx, rule.Document{Version: 1, Rules: []rule.Rule{{Name: "a"}}}, ""); !errors.Is(err,
		ErrInvalid) {
		t.Errorf("SetRules() of wrong rules = %v, want ErrInvalid", err)
	}
	second, err := f.SetRules(ctx, rule.Document{Version: 1, Rules: []rule.Rule{lab()}}, first.Tag)
	if err != nil || second.Tag == first.Tag || second.Changed.IsZero() || f.Rules().Tag != second.Tag {
		t.Errorf("SetRules() = %+v, %v", second, err)
	}
	if _, err := f.SetRules(ctx, rule.Document{Version: 1}, first.Tag); !errors.Is(err, ErrChanged) {
		t.Errorf("SetRules() with an old tag = %v, want ErrChanged", err)
	}
	if got := f.Rules(); len(got.Rules) != 1 {
		t.Errorf("Rules() = %+v", got)
	}
}

// TestRuleBesideScreen makes no job while the boot itself carries out what its user chose. A choice that a stranger
// made in the name of the machine is in the way only as long as the stranger is heard.
func TestRuleBesideScreen(t *testing.T) {
	c := newClock()
	ctx, f := t.Context(), open(t, Options{Now: c.now})
	boot := uuid.NewString()
	g := say(t, f, stranger, uuidA, boot, macA)
	if _, _, err := f.Choose(ctx, g.proof(), order()); err != nil {
		t.Fatal(err)
	}
	setRules(t, f, lab())
	for _, b := range []string{boot, uuid.NewString()} {
		if g := say(t, f, "10.0.0.9", uuidA, b, macA); g.Rule != nil {
			t.Errorf("Hello() = %+v, want no rule", g)
		}
	}
	c.pass(2 * silence)
	follow(t, f, say(t, f, "10.0.0.9", uuidA, uuid.NewString(), macA), "")
	if _, jobs, err := f.Show(ctx, macA); err != nil || len(jobs) != 2 || jobs[1].State != job.Failed {
		t.Errorf("Show() = %+v, %v", jobs, err)
	}
}
