package rule

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"griddle/appliance/job"
	"griddle/appliance/layout"
)

func installing(in Install) Document {
	return Document{Version: 1, Rules: []Rule{{Name: "a", Install: &in}}}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	matching := func(m Match) Document {
		return Document{Version: 1, Rules: []Rule{{Name: "a", Match: m, Boot: Menu}}}
	}
	whole := layout.Form{Version: 1, Layout: layout.WholeDisk, Match: layout.Match{Size: "largest"},
		Wipe: true}.Document()
	one := layout.Form{Version: 1, Layout: layout.OnePartition, Match: layout.Match{Size: "largest"}, Wipe: true,
		Partition: &layout.Which{Label: "x"}}.Document()
	shrink := layout.Form{Version: 1, Layout: layout.Shrunk, Match: layout.Match{Size: "largest"},
		Shrink: &layout.Shrink{By: layout.Size{Bytes: 60 << 30}}}.Document()
	free := layout.Form{Version: 1, Layout: layout.FreeSpace, Match: layout.Match{Size: "largest"}}.Document()
	for _, c := range []struct {
		name string
		d    Document
		want string
	}{
		{"none", Document{Version: 1}, ""},
		{"version", Document{Version: 2}, "version: this program knows version 1"},
		{"many", Document{Version: 1, Rules: make([]Rule, MaxRules+1)}, "rules: 257 rules are more than the 256 that"},
		{"name", Document{Version: 1, Rules: []Rule{{Name: "A\x1b", Boot: Menu}}}, `rules[0].name: "A" is not a name`},
		{"twice", Document{Version: 1, Rules: []Rule{{Name: "a", Match: Match{Vendor: "x"}, Boot: Menu},
			{Name: "a", Boot: Menu}}}, "rules[1].name: rules[0] has the same name"},
		{"never", Document{Version: 1, Rules: []Rule{{Name: "a", Boot: Menu}, {Name: "b", Boot: Menu}}},
			"rules[1]: it never acts: rule a before it is for every machine; move it up"},
		{"nothing", Document{Version: 1, Rules: []Rule{{Name: "a"}}},
			"rules[0]: it does nothing; add boot, approval or install"},
		{"boot", Document{Version: 1, Rules: []Rule{{Name: "a", Boot: "x"}}},
			`rules[0].boot: "x" is not menu, agent or local`},
		{"once", Document{Version: 1, Rules: []Rule{{Name: "a", Boot: Local, Once: true}}}, "rules[0].once: it is for"},
		{"mac", matching(Match{MAC: []string{"52:5"}}), `rules[0].match.mac[0]: "52:5" is not the beginning of an`},
		{"mac of seven", matching(Match{MAC: []string{"1:2"}}), "rules[0].match.mac[0]"},
		{"many macs", matching(Match{MAC: make([]string, 65)}), "rules[0].match.mac: 65 entries are more than the 64"},
		{"an empty list", matching(Match{MAC: []string{}}), "rules[0].match.mac: the list is empty; leave it out " +
			"to match"},
		{"subnet", matching(Match{Subnet: subnet("10.2.0.7/16")}),
			"rules[0].match.subnet[0]: 10.2.0.7/16 is not a subnet; write 10.2.0.0/16"},
		{"no subnet", matching(Match{Subnet: make([]netip.Prefix, 1)}),
			"rules[0].match.subnet[0]: invalid Prefix is not"},
		{"pattern", matching(Match{Vendor: "**"}), `rules[0].match.vendor: "**" fits everything; leave it out`},
		{"control", matching(Match{Model: "a\n"}), "rules[0].match.model: it has more than 128 bytes, or control"},
		{"memory", matching(Match{Memory: "8G"}), `rules[0].match.memory: "8G": it is not a range such as 7G..`},
		{"memory, backwards", matching(Match{Memory: "8G..4G"}), `rules[0].match.memory`},
		{"disk", matching(Match{Disk: &job.Match{}}), "rules[0].match.disk: it says nothing; write what a disk is " +
			"like"},
		{"disk's size", matching(Match{Disk: &job.Match{Size: "x"}}), `rules[0].match.disk.size: "x" is not largest`},
		{"image", installing(Install{Disk: "largest"}), "rules[0].install.image: it is empty"},
		{"no disk", installing(Install{Image: "a"}), "rules[0].install: it does not say which disk; add disk: largest"},
		{"two disks", installing(Install{Image: "a", Disk: "largest", Layout: &free}),
			"rules[0].install.layout: it says"},
		{"disk rule", installing(Install{Image: "a", Disk: "best"}), `rules[0].install.disk: "best" is not a disk ` +
			`rule`},
		{"disk rule's form", installing(Install{Image: "a", Disk: "/dev/sda"}),
			"rules[0].install.disk: it is not in its " +
				"normal form; write path:/dev/sda"},
		{"a layout", installing(Install{Image: "a", Layout: &free}), ""},
		{"a layout that wipes", installing(Install{Image: "a", Layout: &whole}),
			"rules[0].install.layout.disks[0].wipe: a rule never overwrites data; leave it out"},
		{"a partition", installing(Install{Image: "a", Layout: &one}),
			"rules[0].install.layout.disks[0].partitions[1].wipe: a rule never overwrites data"},
		{"a layout that shrinks", installing(Install{Image: "a", Layout: &shrink}),
			"rules[0].install.layout.disks[0].partitions[0].shrink: a rule makes no filesystem smaller"},
		{"a layout with mistakes", installing(Install{Image: "a", Layout: &layout.Document{Version: 1}}),
			"rules[0].install.layout.disks: 0 disks are not between 1 and 16"},
		{"settings", installing(Install{Image: "a", Disk: "largest", Settings: []byte(`{"zone":"Europe/Berlin"}`)}),
			""},
		{"unknown setting", installing(Install{Image: "a", Disk: "largest", Settings: []byte(`{"zon":"x"}`)}),
			"rules[0].install.settings.zon: there is no such key; did you mean zone?"},
		{"wrong setting", installing(Install{Image: "a", Disk: "largest", Settings: []byte(`{"hostname":"a b"}`)}),
			"rules[0].install.settings.hostname: "},
		{"no settings", installing(Install{Image: "a", Disk: "largest", Settings: []byte(`[]`)}),
			"rules[0].install.settings: reading the settings of rule a"},
		{"a secret", installing(Install{Image: "a", Disk: "largest",
			Settings: []byte(`{"files":[{"path":"/etc/key","content":"CANARY","secret":true}]}`)}),
			"rules[0].install.settings.files[/etc/key]: it is a secret, and rules give no secrets"},
	} {
		all := c.d.Check()
		if got := all.Error(); len(all) == 0 != (c.want == "") || !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: Check = %s\nwant %s", c.name, got, c.want)
		} else if strings.Contains(got, "CANARY") || strings.Contains(got, "\x1b") {
			t.Errorf("%s: Check = %q", c.name, got)
		}
	}
}

// blank is a disk that was read and has nothing on it.
func blank(path string, size int64) job.Disk {
	return job.Disk{Path: path, Serial: "S" + path[len(path)-1:], Size: size, SectorSize: 512, Sampled: job.Zeros,
		Bus: "sata"}
}

// TestStops has no install of a rule begin on a disk that is not proved to be blank, or where its layout would lose
// data.
func TestStops(t *testing.T) {
	t.Parallel()
	const size = 64 << 30
	windows := blank("/dev/sda", size)
	windows.Table, windows.Sampled, windows.TableID = "gpt", "", "5c2e9a3e-1111-4222-8333-444455556666"
	windows.Partitions = []job.Partition{{Number: 1, Start: 1 << 20, Size: 32 << 30, Type: "Microsoft basic data",
		Filesystem: "ntfs", Label: "Windows"}}
	unread := blank("/dev/sda", size)
	unread.Sampled = ""
	pool := blank("/dev/sda", size)
	pool.Installed = "b5b1c1d0-0000-4000-8000-000000000001"
	mark := blank("/dev/sda", size)
	mark.Unfinished = "b5b1c1d0-0000-4000-8000-000000000001"
	named := blank("/dev/sda", size)
	named.Signature = "ext4"
	free := layout.Form{Version: 1, Layout: layout.FreeSpace, Match: layout.Match{Size: "largest"}}.Document()
	whole := layout.Form{Version: 1, Layout: layout.WholeDisk, Match: layout.Match{Size: "largest"}}.Document()
	wipe := layout.Form{Version: 1, Layout: layout.WholeDisk, Match: layout.Match{Size: "largest"},
		Wipe: true}.Document()
	for _, c := range []struct {
		name  string
		in    Install
		disks []job.Disk
		want  string // "" where it begins
	}{
		{"blank", Install{Disk: "largest"}, []job.Disk{blank("/dev/sda", size)}, ""},
		{"a blank one among others", Install{Disk: "serial:Sb"}, []job.Disk{windows, blank("/dev/sdb", size)}, ""},
		{"data", Install{Disk: "largest"}, []job.Disk{windows}, "is not blank: partition 1: 34.4 GB"},
		{"not read", Install{Disk: "largest"}, []job.Disk{unread}, "is not blank: unknown content"},
		{"a pool", Install{Disk: "largest"}, []job.Disk{pool}, "is not blank: an install"},
		{"a mark", Install{Disk: "largest"}, []job.Disk{mark}, "is not blank: an unfinished install"},
		{"a filesystem", Install{Disk: "largest"}, []job.Disk{named}, "is not blank: whole disk: ext4"},
		{"no disk", Install{Disk: "largest"}, nil, "no disk matches"},
		{"two disks", Install{Disk: "largest"}, []job.Disk{blank("/dev/sda", size), blank("/dev/sdb", size)},
			"2 disks"},
		{"free space", Install{Layout: &free}, []job.Disk{windows}, ""},
		{"a layout, blank", Install{Layout: &whole}, []job.Disk{blank("/dev/sda", size)}, ""},
		{"a layout, data", Install{Layout: &whole}, []job.Disk{windows}, "the layout does not fit this machine"},
		{"a layout that wipes", Install{Layout: &wipe}, []job.Disk{windows}, "its layout would lose data"},
		{"too small", Install{Layout: &whole}, []job.Disk{blank("/dev/sda", 1<<30)}, "the layout does not fit"},
	} {
		got := c.in.Stops(c.disks, 4<<30)
		if got == "" != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: Stops = %q, want %q", c.name, got, c.want)
		}
	}
}

// TestID is another one for each change of a rule, and the same after JSON.
func TestID(t *testing.T) {
	t.Parallel()
	seen := map[string]int{}
	for i, d := range []Document{
		installing(Install{Image: "a", Disk: "largest"}), installing(Install{Image: "b", Disk: "largest"}),
		installing(Install{Image: "a", Disk: "smallest"}),
		installing(Install{Image: "a", Disk: "largest", Settings: []byte(`{"zone": "Europe/Berlin"}`)}), room,
	} {
		id := d.Rules[0].ID()
		if first, twice := seen[id]; twice {
			t.Errorf("the rules %d and %d have the ID %s", first, i, id)
		}
		seen[id] = i
		b, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Decode(b)
		if err != nil || again.Rules[0].ID() != id {
			t.Errorf("after JSON the rule %d has another ID, %v", i, err)
		}
	}
}

// FuzzDecode has any bytes be a document: what is read is valid, and the same after JSON.
func FuzzDecode(f *testing.F) {
	for _, d := range []Document{room, installing(Install{Image: "a", Disk: "match:size=1G..",
		Settings: []byte(`{}`)})} {
		b, err := json.Marshal(d)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"version": 1, "rules": [{"name": "a", "match": {"subnet": ["::/0"]}, "boot": "menu"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := Decode(b)
		if err != nil {
			return
		}
		wire, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Decode(wire)
		if err != nil {
			t.Fatalf("Decode(%s) is valid, and again it is %v", b, err)
		}
		second, err := json.Marshal(again)
		if err != nil || string(wire) != string(second) {
			t.Fatalf("Decode(%s) is %s, and again %s, %v", b, wire, second, err)
		}
		if !reflect.DeepEqual(d.Explain(optiplex()), again.Explain(optiplex())) || strings.Count(d.String(), "\n") <
			len(d.Rules) {
			t.Fatalf("Decode(%s) means something else after JSON", b)
		}
	})
}
