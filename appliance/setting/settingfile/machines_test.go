package settingfile

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// TestParseMachines has the mistakes of a file with several machines, all at once and each with its place.
func TestParseMachines(t *testing.T) {
	all, err := ParseMachines("lab.yaml", []byte("52:54:00:00:00:0a:\n  hostname: a\nlab-2:\n  users:\n    - name: "+
		"ada\nc6d5e4a0-0000-0000-0000-000000000001:\n"))
	if err != nil || len(all) != 3 {
		t.Fatalf("ParseMachines() = %v, %v", all, err)
	}
	if b, err := json.Marshal(all["52:54:00:00:00:0a"].Document); err != nil || string(b) != `{"hostname":"a"}` {
		t.Errorf("the settings of the first are %s, %v", b, err)
	}
	f := all["lab-2"]
	for place, want := range map[string]string{"": "lab.yaml:3:1", "users[ada].uid": "lab.yaml:5:7",
		"zone": "lab.yaml:3:1"} {
		if got := f.Where(place).String(); got != want {
			t.Errorf("Where(%q) = %s, want %s", place, got, want)
		}
	}
	for text, want := range map[string][]string{
		"- a\n":                    {"lab.yaml:1:1: "},
		"a: 7\nb: [x]\n":           {"lab.yaml:1:1: a: ", "lab.yaml:2:1: b: "},
		"a: {zoen: x}\nb: {x: y}":  {"lab.yaml:1:5: a: zoen: there is no such key", "lab.yaml:2:5: b: x: there is no"},
		"a: {}\na: {}\n":           {"lab.yaml:2:1: "},
		"a: {swap: much, args: 7}": {"lab.yaml:1:5: a: swap: ", "lab.yaml:1:17: a: args: it must be a list"},
	} {
		_, err := ParseMachines("lab.yaml", []byte(text))
		if err == nil {
			t.Errorf("ParseMachines(%q) finds nothing", text)
			continue
		}
		got := strings.Split(err.Error(), "\n")
		if !slices.EqualFunc(got, want, strings.HasPrefix) {
			t.Errorf("ParseMachines(%q) = %v, want %q", text, err, want)
		}
	}
	if all, err := ParseMachines("lab.yaml", nil); err != nil && len(all) > 0 {
		t.Errorf("ParseMachines() of nothing = %v, %v", all, err)
	}
	if _, err := ParseMachines("lab.yaml", []byte("#"+strings.Repeat("x", MaxMachines))); err == nil {
		t.Error("ParseMachines() takes too much")
	}
}

// TestParseKey: a file with the value of one key, and where its mistakes are.
func TestParseKey(t *testing.T) {
	f, err := ParseKey("net.json", "network", []byte(`{"dns": ["192.0.2.53"], "interfaces": [{"name": "lan0"}]}`))
	if b, jerr := json.Marshal(f.Document); err != nil || jerr != nil ||
		string(b) != `{"network":{"dns":["192.0.2.53"],"interfaces":[{"name":"lan0"}]}}` {
		t.Errorf("ParseKey() = %s, %v, %v", b, err, jerr)
	}
	if got := f.Where("network.interfaces[lan0].name").String(); got != "net.json:1:41" {
		t.Errorf("Where() = %s", got)
	}
	_, err = ParseKey("net.yaml", "network", []byte("dns: [x]\ninterface: []\n"))
	if err == nil || !strings.Contains(err.Error(), `net.yaml:1:7: network.dns[0]: "x" is not an address`) ||
		!strings.Contains(err.Error(), "net.yaml:2:1: network.interface: there is no such key; did you mean") {
		t.Errorf("ParseKey() with mistakes = %v", err)
	}
}
