package rulefile

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"griddle/appliance/job"
	"griddle/appliance/rule"
)

const whole = `version: 1
rules:
  - name: dell
    match:
      mac: [52:54:00, D4-BE-D9]
      subnet: 10.2.0.0/16
      named: true
      vendor: "Dell*"
      model: "OptiPlex*"
      memory: 7G..
      disk: {model: a*, serial: b*, wwn: c*, path: /dev/nvme*, size: 200G.., transport: nvme, rotational: "no"}
    approval: true
    install:
      image: web:stable
      disk: /dev/nvme0n1
      settings: {zone: Europe/Berlin, files: [{path: /etc/motd, content: "<hello>"}]}
  - name: beside
    match: {subnet: [10.4.0.0/16, "2001:db8::/32"], mac: "52:54:00:12:34:56"}
    boot: local
    install:
      image: web
      layout: {version: 1, layout: free-space, match: {size: largest}}
  - {name: others, match: {named: false}, boot: agent, once: true}
`

// TestParse reads each key of the language.
func TestParse(t *testing.T) {
	t.Parallel()
	d, err := Parse("f.yaml", []byte(whole))
	if err != nil {
		t.Fatal(err)
	}
	is, not := true, false
	layout := d.Rules[1].Install.Layout
	want := rule.Document{Version: 1, Rules: []rule.Rule{
		{Name: "dell", Match: rule.Match{MAC: []string{"52:54:00", "d4:be:d9"},
			Subnet: []netip.Prefix{netip.MustParsePrefix("10.2.0.0/16")}, Named: &is, Vendor: "Dell*",
			Model:  "OptiPlex*",
			Memory: "7G..", Disk: &job.Match{Model: "a*", Serial: "b*", WWN: "c*", Path: "/dev/nvme*", Size: "200G..",
				Transport: "nvme", Rotational: "no"}},
			Approval: true, Install: &rule.Install{Image: "web:stable", Disk: "path:/dev/nvme0n1",
				Settings: json.RawMessage(`{"files":[{"content":"\u003chello\u003e","path":"/etc/motd"}],` +
					`"zone":"Europe/Berlin"}`)}},
		{Name: "beside", Match: rule.Match{MAC: []string{"52:54:00:12:34:56"}, Subnet: []netip.Prefix{
			netip.MustParsePrefix("10.4.0.0/16"), netip.MustParsePrefix("2001:db8::/32")}}, Boot: "local",
			Install: &rule.Install{Image: "web", Layout: layout}},
		{Name: "others", Match: rule.Match{Named: &not}, Boot: "agent", Once: true},
	}}
	if !reflect.DeepEqual(d, want) || layout == nil || len(layout.Disks[0].Partitions) != 3 {
		t.Errorf("Parse = %+v\nwant %+v", d, want)
	}
	b, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := rule.Decode(b); err != nil || !reflect.DeepEqual(again, d) {
		t.Errorf("from JSON the document is %+v, %v", again, err)
	}
	if again, err := Parse("f.json", b); err != nil || !reflect.DeepEqual(again, d) {
		t.Errorf("Parse of the JSON = %+v, %v", again, err)
	}
	if d, err := Parse("f", []byte("version: 1\nrules: []\n")); err != nil || len(d.Rules) != 0 {
		t.Errorf("Parse of no rules = %+v, %v", d, err)
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, old, new, want string }{
		{"missing", "rules:", "rule:", "f.yaml:1:1: the key rules is missing\nf.yaml:2:1: the key \"rule\" is " +
			"unknown; " +
			"did you mean rules?"},
		{"name", "name: dell", "name: Dell", `f.yaml:3:11: rules[0].name: "Dell" is not a name: a to z, 0 to 9`},
		{"key", "vendor:", "vendro:", `f.yaml:8:7: rules[0].match: the key "vendro" is unknown; did you mean vendor?`},
		{"mac", "D4-BE-D9", "D4BED9", `f.yaml:5:23: rules[0].match.mac[1]: "d4bed9" is not the beginning of an ` +
			`address; ` +
			`write whole bytes from the first on, such as 52:54:00`},
		{"subnet", "10.2.0.0/16", "10.2.0.0/33", `f.yaml:6:15: rules[0].match.subnet: "10.2.0.0/33" is not a ` +
			`subnet such`},
		{"subnet's address", "10.4.0.0", "10.4.0.1",
			`f.yaml:18:22: rules[1].match.subnet[0]: 10.4.0.1/16 is not a subnet; write 10.4.0.0/16`},
		{"memory", "7G..", "7..", `f.yaml:10:15: rules[0].match.memory: "7..": it is not a range such as 7G..`},
		{"disk", "size: 200G..", "size: 200G", `f.yaml:11:70: rules[0].match.disk.size: "200G" is not largest`},
		{"boot", "boot: agent", "boot: agnt", `f.yaml:23:49: rules[2].boot: "agnt" is not menu, agent or local`},
		{"disk rule", "/dev/nvme0n1", "biggest", `f.yaml:15:13: rules[0].install.disk: "biggest" is not a disk rule`},
		{"image", "image: web:stable", "disc: a", "f.yaml:14:7: rules[0].install: the key \"disc\" is unknown; did " +
			"you mean disk?\n" +
			"f.yaml:14:7: rules[0].install: the key image is missing"},
		{"layout", "free-space", "freespace", `f.yaml:22:36: rules[1].install.layout.layout: no layout is called ` +
			`"freespace"; did you mean free-space?`},
		{"layout that wipes", "free-space", "whole-disk, wipe: true", "f.yaml:22:15: rules[1].install.layout." +
			"disks[0].wipe: a rule never overwrites data; leave it out"},
		{"layout's match", "match: {size: largest}", "match: {size: large}", `f.yaml:22:62: rules[1].install.layout.` +
			`match.size: "large" is not largest, smallest or a range`},
		{"setting", "zone:", "zon:", "f.yaml:16:18: rules[0].install.settings.zon: there is no such key; did you " +
			"mean " +
			"zone?"},
		{"value of a setting", "/etc/motd", "motd", "f.yaml:16:"},
		{"secret", "path: /etc/motd,", "path: /etc/motd, secret: true,",
			"f.yaml:16:47: rules[0].install.settings.files[/etc/motd]: it is a secret, and rules give no secrets; " +
				"give it"},
		{"never", "match: {named: false}, ", "", ""},
		{"never acts", "    match: {subnet: [10.4.0.0/16, \"2001:db8::/32\"], mac: \"52:54:00:12:34:56\"}\n", "",
			"f.yaml:22:5: rules[2]: it never acts: rule beside before it is for every machine; move it up"},
		{"alias", "named: true", "named: &a true", "f.yaml:7:14: rules[0].match.named: anchors (&) and aliases (*) " +
			"are"},
	} {
		if !strings.Contains(whole, c.old) {
			t.Fatalf("%s: the file has no %q", c.name, c.old)
		}
		_, err := Parse("f.yaml", []byte(strings.Replace(whole, c.old, c.new, 1)))
		if err == nil != (c.want == "") || err != nil && !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: the error is\n%v\nwant\n%s", c.name, err, c.want)
		}
	}
	for _, c := range []struct{ name, in, want string }{
		{"empty", "", "f.yaml:1:1: it must be a mapping of keys, not nothing"},
		{"large", strings.Repeat("#", MaxBytes+1), "f.yaml:1:1: the file has 262145 bytes, 262144 are allowed"},
	} {
		if _, err := Parse("f.yaml", []byte(c.in)); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: the error is\n%v\nwant\n%s", c.name, err, c.want)
		}
	}
}

// FuzzParse has any bytes be a file: what is read is valid, is the same twice, and is the same after JSON. No rule of
// it allows the loss of data.
func FuzzParse(f *testing.F) {
	f.Add([]byte(whole))
	f.Add([]byte("version: 1\nrules: [{name: a, install: {image: a, disk: 'match:size=1G..,transport=nvme'}}]\n"))
	f.Add([]byte("version: 1\nrules: [{name: a, install: {image: a, layout: {version: 1, layout: partition, match: " +
		"{size: largest}, partition: {number: 1}, wipe: true}}}]\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := Parse("f", b)
		if err != nil {
			if err.Error() == "" {
				t.Fatal("an error without text")
			}
			return
		}
		wire, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		again, err := rule.Decode(wire)
		if err != nil {
			t.Fatalf("Parse(%q) = %+v\nas JSON it is %s\nand again %v", b, d, wire, err)
		}
		if second, err := json.Marshal(again); err != nil || string(second) != string(wire) {
			t.Fatalf("Parse(%q) as JSON is %s\nand again %s, %v", b, wire, second, err)
		}
		for _, r := range d.Rules {
			if r.Install == nil || r.Install.Layout == nil {
				continue
			}
			for _, disk := range r.Install.Layout.Disks {
				for _, p := range disk.Partitions {
					if disk.Wipe || p.Wipe || p.Shrink != nil {
						t.Fatalf("Parse(%q) allows the loss of data", b)
					}
				}
			}
		}
	})
}
