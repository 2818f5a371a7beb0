package rule

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"griddle/appliance/job"
)

func yes() *bool { v := true; return &v }
func no() *bool  { v := false; return &v }

func subnet(s string) []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix(s)} }

// room is the rules of a room.
var room = Document{Version: 1, Rules: []Rule{
	{Name: "exam", Match: Match{Subnet: subnet("10.3.0.0/16")}, Boot: Local},
	{Name: "dell", Match: Match{MAC: []string{"52:54:00", "d4:be:d9"}, Vendor: "Dell*", Model: "OptiPlex*",
		Memory: "7G..", Disk: &job.Match{Size: "200G..", Transport: "nvme"}},
		Install: &Install{Image: "web:stable", Disk: "largest"}},
	{Name: "named", Match: Match{Named: yes()}, Boot: Menu},
	{Name: "others", Boot: Agent, Once: true},
}}

// optiplex is a machine of the room that has said all of itself.
func optiplex() Facts {
	return Facts{MAC: "52:54:00:12:34:56", Address: netip.MustParseAddr("10.2.0.7"), Claims: &Claims{
		Vendor: "Dell Inc.", Model: "OptiPlex 7090", Memory: 8 << 30,
		Disks: []job.Disk{{Path: "/dev/nvme0n1", Bus: "nvme", Size: 512e9, Serial: "S1"}}}}
}

// TestActs has the first rule act whose conditions all hold, and no other.
func TestActs(t *testing.T) {
	t.Parallel()
	if all := room.Check(); len(all) > 0 {
		t.Fatal(all)
	}
	for _, c := range []struct {
		name   string
		change func(f *Facts)
		want   string
	}{
		{"all conditions", func(*Facts) {}, "dell"},
		{"the other address", func(f *Facts) { f.MAC = "d4:be:d9:00:00:01" }, "dell"},
		{"first match wins", func(f *Facts) { f.Address = netip.MustParseAddr("10.3.0.7") }, "exam"},
		{"an address of IPv4 in IPv6", func(f *Facts) { f.Address = netip.MustParseAddr("::ffff:10.3.0.7") }, "exam"},
		{"another address", func(f *Facts) { f.MAC = "52:54:01:12:34:56" }, "others"},
		{"half a byte", func(f *Facts) { f.MAC = "52:54:0" }, "others"},
		{"vendor", func(f *Facts) { f.Claims.Vendor = "QEMU" }, "others"},
		{"model", func(f *Facts) { f.Claims.Model = "" }, "others"},
		{"memory", func(f *Facts) { f.Claims.Memory = 7<<30 - 1 }, "others"},
		{"no memory", func(f *Facts) { f.Claims.Memory = 0 }, "others"},
		{"disk", func(f *Facts) { f.Claims.Disks[0].Bus = "sata" }, "others"},
		{"no disk", func(f *Facts) { f.Claims.Disks = nil }, "others"},
		{"another disk too", func(f *Facts) {
			f.Claims.Disks = append([]job.Disk{{Path: "/dev/sda", Bus: "sata", Size: 1e12}}, f.Claims.Disks...)
		}, "dell"},
		{"nothing said", func(f *Facts) { f.Claims = nil }, "others"},
		{"nothing said, named", func(f *Facts) { f.Claims, f.Named = nil, true }, "named"},
		{"nothing known", func(f *Facts) { *f = Facts{} }, "others"},
	} {
		f := optiplex()
		c.change(&f)
		if got := room.Acts(f); got == nil || got.Name != c.want {
			t.Errorf("%s: Acts(%+v) = %v, want %s", c.name, f, got, c.want)
		}
		acts := ""
		for _, one := range room.Explain(f) {
			if one.Outcome == Acts {
				acts += one.Rule
			}
		}
		if acts != c.want {
			t.Errorf("%s: Explain has %s act, want %s", c.name, acts, c.want)
		}
	}
	if got := (Document{Version: 1}).Acts(optiplex()); got != nil {
		t.Errorf("Acts without rules = %v", got)
	}
}

// TestExplain says of each rule why it acts or does not.
func TestExplain(t *testing.T) {
	t.Parallel()
	f := optiplex()
	f.Claims.Memory, f.Claims.Vendor = 4<<30, "Evil\x1b[31m Inc."
	var lines []string
	for _, one := range room.Explain(f) {
		lines = append(lines, one.String())
	}
	want := []string{
		"exam does not match: subnet 10.3.0.0/16: no, 10.2.0.7",
		"dell does not match: vendor Dell*: no, Evil [31m Inc.; memory 7G..: no, 4.00 GiB",
		"named does not match: named true: no, false",
		"others acts: it is for every machine",
	}
	if !slices.Equal(lines, want) {
		t.Errorf("Explain =\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
	lines = nil
	for _, one := range room.Explain(optiplex()) {
		lines = append(lines, one.String())
	}
	want = []string{
		"exam does not match: subnet 10.3.0.0/16: no, 10.2.0.7",
		"dell acts: mac 52:54:00, d4:be:d9: yes, 52:54:00:12:34:56; vendor Dell*: yes, Dell Inc.; " +
			"model OptiPlex*: yes, OptiPlex 7090; memory 7G..: yes, 8.00 GiB; " +
			"disk size=200G..,transport=nvme: yes, /dev/nvme0n1, 512 GB, serial S1",
		"named does not match: named true: no, false",
		"others matches too, but an earlier rule acts: it is for every machine",
	}
	if !slices.Equal(lines, want) {
		t.Errorf("Explain =\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
	if got := room.Explain(Facts{})[1].String(); got != "dell does not match: mac 52:54:00, d4:be:d9: not known; "+
		"vendor "+
		"Dell*: not known; model OptiPlex*: not known; memory 7G..: not known; disk size=200G..,transport=nvme: not "+
		"known" {
		t.Errorf("Explain of nothing = %s", got)
	}
}

// TestWaits has everything that a machine only claims open nothing: each such condition of an install has the boot wait
// for an operator. What netboot sees does not.
func TestWaits(t *testing.T) {
	t.Parallel()
	install := &Install{Image: "web", Disk: "largest"}
	for _, c := range []struct {
		name string
		rule Rule
		want bool
	}{
		{"every machine", Rule{Install: install}, false},
		{"mac and subnet", Rule{Match: Match{MAC: []string{"52"}, Subnet: subnet("10.0.0.0/8")}, Install: install},
			false},
		{"unknown machines", Rule{Match: Match{Named: no()}, Install: install}, false},
		{"named machines", Rule{Match: Match{Named: yes()}, Install: install}, true},
		{"vendor", Rule{Match: Match{Vendor: "a*"}, Install: install}, true},
		{"model", Rule{Match: Match{Model: "a*"}, Install: install}, true},
		{"memory", Rule{Match: Match{Memory: "1G.."}, Install: install}, true},
		{"disk", Rule{Match: Match{Disk: &job.Match{Size: "1G.."}}, Install: install}, true},
		{"vendor without an install", Rule{Match: Match{Vendor: "a*"}, Boot: Local}, false},
		{"approval", Rule{Approval: true}, true},
	} {
		if got := c.rule.Waits(); got != c.want {
			t.Errorf("%s: Waits = %v, want %v", c.name, got, c.want)
		}
	}
}
