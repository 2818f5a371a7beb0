package fleet

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"griddle/appliance/rule"
	"griddle/netboot"
)

// TestTryRules says which rule acts for a machine, at its network boot and after its hello, and why; and what it says
// is what happens. Asking changes nothing.
func TestTryRules(t *testing.T) {
	ctx, f := t.Context(), open(t, Options{})
	once := rule.Rule{Name: "others", Boot: rule.Agent, Once: true}
	setRules(t, f, dell(), once)
	try := func(q Try) Trial {
		t.Helper()
		got, err := f.TryRules(ctx, q)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	has := func(d Decision, name, gets, note string) {
		t.Helper()
		if d.Rule != name || d.Gets != gets || len(d.Findings) == 0 || !strings.Contains(strings.Join(d.Notes, "\n"),
			note) {
			t.Errorf("TryRules() = %+v, want rule %s, %s, %q", d, name, gets, note)
		}
	}
	got := try(Try{Key: macA})
	has(got.Boot, "others", "the agent", "no operator named it")
	has(got.Hello, "others", "its screen, on which a person chooses", "")
	got = try(Try{Key: macA, Vendor: "Dell Inc.", Model: "OptiPlex", Memory: 8 << 30})
	if got.Hello.Rule != "others" || got.Hello.Findings[0].String() != "dell does not match: disk size=1G..: no, "+
		"it has no such disk" {
		t.Errorf("TryRules() = %+v", got.Hello)
	}
	for range 3 { // it writes nothing
		has(try(Try{Key: macA}).Boot, "others", "the agent", "")
	}
	if all := list(t, f); len(all) != 0 {
		t.Errorf("asking made the machines %+v", all)
	}
	if action := boots(t, f, macA); action != netboot.Agent {
		t.Errorf("it boots %v", action)
	}
	has(try(Try{Key: macA}).Boot, "others", "the agent", "it has booted once by this rule")
	g, err := f.Hello(ctx, "10.0.0.9", "ada", optiplex(uuid.NewString(), macA))
	if err != nil || !g.Waiting {
		t.Fatalf("Hello() = %+v, %v", g, err)
	}
	got = try(Try{Key: macA})
	has(got.Hello, "dell", "an install of web:stable, if that loses nothing on its disks",
		"its boot waits for `griddle machine approve")
	if !strings.Contains(got.Hello.Findings[0].String(), "dell acts: vendor Dell*: yes, Dell Inc.") {
		t.Errorf("TryRules() = %v", got.Hello.Findings[0])
	}
	if _, err := f.Approve(ctx, macA, g.Code); err != nil {
		t.Fatal(err)
	}
	got = try(Try{Key: macA})
	has(got.Boot, "dell", "the agent", "")
	has(got.Hello, "dell", got.Hello.Gets, "a boot with a key that an operator approved gets it")
	if g, err = f.Hello(ctx, "10.0.0.9", "ada", optiplex(uuid.NewString(), macA)); err != nil {
		t.Fatal(err)
	}
	if _, err := f.StopRule(ctx, Proof{g.Token, "ada"}, dell(), "the disk has data"); err != nil {
		t.Fatal(err)
	}
	has(try(Try{Key: macA}).Boot, "dell", "the menu", "installed nothing here when the agent last ran: the disk "+
		"has data")
	j := follow(t, f, g, "ada")
	has(try(Try{Key: macA}).Boot, "dell", "the agent", "its job or its system decides")
	has(try(Try{Key: macA}).Hello, "dell", "its job, web:1@amd64", "rule dell has made its job")
	if _, err := f.Cancel(ctx, j.Machine); err != nil {
		t.Fatal(err)
	}
	has(try(Try{Key: macA}).Boot, "dell", "the menu", "rule dell has made its one job for this machine")

	other := rule.Document{Version: 1, Rules: []rule.Rule{lab()}}
	has(try(Try{Key: macB, Rules: &other, Address: netip.MustParseAddr("10.0.0.9")}).Boot, "lab", "the agent", "")
	if got := try(Try{Key: macB, Rules: &other}); got.Boot.Rule != "" || got.Boot.Gets != "the menu" ||
		got.Boot.Findings[0].String() != "lab does not match: subnet 10.0.0.0/24: not known" {
		t.Errorf("TryRules() without an address = %+v", got.Boot)
	}
	for _, q := range []Try{{Key: "nothing"}, {Key: macA, MAC: "x"}, {Key: macA, Rules: &rule.Document{}}} {
		if _, err := f.TryRules(ctx, q); !errors.Is(err, ErrUnknown) && !errors.Is(err, ErrInvalid) {
			t.Errorf("TryRules(%+v) = %v", q, err)
		}
	}
	if !slices.ContainsFunc(f.Rules().Rules, func(r rule.Rule) bool { return r.Name == "dell" }) {
		t.Error("the rules of the site are others now")
	}
}
