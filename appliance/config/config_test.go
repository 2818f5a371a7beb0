package config

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestExampleIsTheDefault(t *testing.T) {
	got, err := Parse("griddle.yaml", []byte(Example))
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	// An empty list and none mean the same.
	want.Metrics, want.Webhooks = got.Metrics, got.Webhooks
	want.DHCP.DNS, want.DHCP.Relays, want.KernelArgs = got.DHCP.DNS, got.DHCP.Relays, got.KernelArgs
	if !reflect.DeepEqual(got, want) || len(got.DHCP.DNS) != 0 || len(got.DHCP.Relays) != 0 ||
		len(got.KernelArgs) != 0 ||
		len(got.Metrics.WithoutToken) != 0 || len(got.Webhooks) != 0 {
		t.Errorf("Parse(Example) = %+v, want %+v", got, want)
	}
	lines := strings.Split(Example, "\n")
	for _, key := range keys() {
		start := strings.Repeat("  ", strings.Count(key, ".")) + key[strings.LastIndex(key, ".")+1:] + ":"
		at := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, start) })
		for at >= 0 && lines[at] != "" && !strings.HasPrefix(strings.TrimSpace(lines[at]), "#") {
			at-- // keys that belong together share a comment
		}
		if at < 0 || lines[at] == "" {
			t.Errorf("the example does not have %s, or no comment on it", key)
		}
	}
	if empty, err := Parse("empty", nil); err != nil || !reflect.DeepEqual(empty, Default()) {
		t.Errorf("ParseConfig of nothing = %+v, %v, want the default", empty, err)
	}
}

func TestParse(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     []string // the lines of the error
	}{
		{"good",
			"interface: eth1\ndhcp: {mode: dhcp, pool: 10.0.0.10-10.0.0.20, dns: [10.0.0.1]}\nlog:\n  level: debug\n",
			nil},
		{"nothing after a key", "interface:\nhttp:\n", nil},
		{"webhooks", "webhooks:\n- {url: 'http://10.0.0.1/x', secret_file: /s, private: true}\n" +
			"- url: 'https://a.example/x'\n  secret_file: /s\n  events: [job.done, job.lost]\n  urll: x\n" +
			"- {url: 'http://a.example', secret_file: ''}\n" +
			"- {url: 'https://u:p@a.example', secret_file: /s}\n", []string{
			"f:5:11: webhooks[1].events: \"job.lost\" is not one of job.pending",
			"f:6:3: webhooks[1]: the key \"urll\" is unknown",
			"f:7:9: webhooks[2].url: http is not encrypted",
			"f:7:42: webhooks[2].secret_file: it is missing",
			"f:8:9: webhooks[3].url: it is not an https:// URL",
		}},
		{"unknown key", "interfce: eth1\n",
			[]string{"f:1:1: the key \"interfce\" is unknown; did you mean interface?"}},
		{"unknown key below", "dhcp:\n  mod: proxy\n",
			[]string{"f:2:3: dhcp: the key \"mod\" is unknown; did you mean dhcp.mode?"}},
		{"key at another place", "pool: 10.0.0.1-10.0.0.2\n",
			[]string{"f:1:1: the key \"pool\" is unknown; did you mean dhcp.pool?"}},
		{"nothing near", "zzzzzzzzzzzz: 1\n",
			[]string{"f:1:1: the key \"zzzzzzzzzzzz\" is unknown; known are interface, address, dhcp, http,"}},
		{"all at once", "http: x\nhttps: 99999\nlog: {level: loud}\nmenu_timeout: 5\nfoo: 1\n", []string{
			"f:1:7: http: it must be a whole number, not text",
			"f:2:8: https: 99999 is not a port, 1 to 65535",
			`f:3:14: log.level: "loud" is not one of debug, info, warn, error`,
			"f:4:15: menu_timeout: 5 is not a time such as 30s, 10m or 12h",
			"f:5:1: the key \"foo\" is unknown",
		}},
		{"keys where a value is due", "http: {a: 1}\n",
			[]string{"f:1:7: http: it must be a whole number, not a mapping of keys"}},
		{"a value where keys are due", "dhcp: on\n", []string{"f:1:7: dhcp: it must be a mapping of keys, not text"}},
		{"no list", "kernel_args: x\n", []string{"f:1:14: kernel_args: it must be a list such as [a, b], not text"}},
		{"address", "address: 10.0.0.300\n", []string{"f:1:10: address: ParseAddr"}},
		{"pool missing", "dhcp:\n  mode: dhcp\n", []string{"f: dhcp.pool: mode dhcp needs the addresses to lease"}},
		{"pool backwards", "dhcp: {pool: 10.0.0.9-10.0.0.1}\n",
			[]string{`f:1:14: dhcp.pool: "10.0.0.9-10.0.0.1" is not FIRST-LAST`}},
		{"relay networks", "dhcp: {relay_networks: [10.1.0.0/16, 0.0.0.0/0, 127.0.0.0/8]}\n", []string{
			"f:1:24: dhcp.relay_networks: 0.0.0.0/0 is not an IPv4 network of hosts",
			"f:1:24: dhcp.relay_networks: 127.0.0.0/8 is not"}},
		{"other server", "dhcp:\n  other_server: fight\n",
			[]string{`f:2:17: dhcp.other_server: "fight" is not one of warn, step-down`}},
		{"probe", "dhcp: {probe: 0s}\n", []string{"f:1:15: dhcp.probe: 0s is not between a second and five minutes"}},
		{"check-ins", "check_in_every: 9s\n",
			[]string{"f:1:17: check_in_every: 9s is not a number of seconds from 10s to 1h"}},
		{"short logs", "keep_events: 23h\n",
			[]string{"f:1:14: keep_events: 23h0m0s is less than 24h, and not 0s"}},
		{"rare check-ins", "check_in_every: 61m\n",
			[]string{"f:1:17: check_in_every: 1h1m0s is not a number of seconds from 10s to 1h"}},
		{"parts of seconds", "check_in_every: 10500ms\n", []string{"f:1:17: check_in_every: 10.5s is not"}},
		{"hostile argument", "kernel_args: [\"a b\"]\n",
			[]string{"f:1:14: kernel_args: \"a b\" is not a kernel argument"}},
		{"syntax", "a: [1\n", []string{"f:1:4: "}},
		{"key twice", "http: 1\nhttp: 2\n", []string{"f:2:1: "}},
		{"every fault of one list", "dhcp: {dns: [1, x, 10.0.0.1]}\n",
			[]string{"f:1:14: dhcp.dns[0]: it must be text, not 1", "f:1:17: dhcp.dns[1]: ParseAddr"}},
		{"a number that is text", "store: 5\n",
			[]string{"f:1:8: store: it must be text, not 5; put it in quotes: \"5\""}},
		{"a large number", "http: 99999999999\n", []string{"f:1:7: http: 99999999999 is not between"}},
		{"an anchor", "http: &a 80\nhttps: *a\n", []string{"f:1:7: http: anchors (&)", "f:2:8: https: anchors (&)"}},
		{"a tag", "store: !!str x\n", []string{"f:1:8: store: tags such as"}},
		{"a merge key", "dhcp: {<<: {mode: dhcp}}\n", []string{"f:1:8: dhcp: merge keys (<<) are not allowed"}},
		{"a list", "- 1\n", []string{"f:1:1: it must be a mapping of keys, not a list"}},
		{"two documents", "http: 80\n---\nhttp: 81\n", []string{"f:3:1: there is a second document"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse("f", []byte(c.in))
			var got []string
			if err != nil {
				got = strings.Split(err.Error(), "\n")
			}
			if len(got) != len(c.want) {
				t.Fatalf("Parse(%q) = %q, want %q", c.in, got, c.want)
			}
			for i := range got {
				if !strings.HasPrefix(got[i], c.want[i]) {
					t.Errorf("Parse(%q) line %d = %q, want %q", c.in, i, got[i], c.want[i])
				}
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(Example))
	f.Add([]byte("a: &x [*x]\n? {b: c}\n: !!binary \"\\xff\"\n"))
	f.Add([]byte("dhcp: &d {mode: *d}\n<<: *d\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := Parse("f", b); err == nil {
			if err := c.Validate(); err != nil {
				t.Errorf("Parse(%q) passed what Validate refuses: %v", b, err)
			}
		}
	})
}
