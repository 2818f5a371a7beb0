package appliance

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestDefaultFileIsTheDefault(t *testing.T) {
	got, err := ParseConfig("griddle.yaml", []byte(DefaultFile))
	if err != nil {
		t.Fatal(err)
	}
	want := DefaultConfig()
	// An empty list and none are the same to everybody who reads them.
	want.DHCP.DNS, want.DHCP.Relays, want.KernelArgs = got.DHCP.DNS, got.DHCP.Relays, got.KernelArgs
	if !reflect.DeepEqual(got, want) || len(got.DHCP.DNS) != 0 || len(got.DHCP.Relays) != 0 || len(got.KernelArgs) != 0 {
		t.Errorf("ParseConfig(DefaultFile) = %+v, want %+v", got, want)
	}
	for _, key := range keysOf(reflect.TypeFor[Config](), "") {
		name := key[strings.LastIndex(key, ".")+1:] + ":"
		at := strings.Index("\n"+DefaultFile, "\n"+strings.Repeat("  ", strings.Count(key, "."))+name)
		if at < 0 {
			t.Errorf("the default file does not have %s", key)
		}
	}
	if empty, err := ParseConfig("empty", nil); err != nil || !reflect.DeepEqual(empty, DefaultConfig()) {
		t.Errorf("ParseConfig of nothing = %+v, %v, want the default", empty, err)
	}
}

func TestParseConfig(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     []string // the lines of the error
	}{
		{"good", "interface: eth1\ndhcp: {mode: dhcp, pool: 10.0.0.10-10.0.0.20, dns: [10.0.0.1]}\nlog:\n  level: debug\n", nil},
		{"nothing after a key", "interface:\nhttp:\n", nil},
		{"unknown key", "interfce: eth1\n", []string{"f:1:1: interfce: unknown key; did you mean interface?"}},
		{"unknown key below", "dhcp:\n  mod: proxy\n", []string{"f:2:3: dhcp.mod: unknown key; did you mean dhcp.mode?"}},
		{"key at another place", "pool: 10.0.0.1-10.0.0.2\n", []string{"f:1:1: pool: unknown key; did you mean dhcp.pool?"}},
		{"nothing near", "zzzzzzzzzzzz: 1\n", []string{"f:1:1: zzzzzzzzzzzz: unknown key"}},
		{"all at once", "http: x\nhttps: 99999\nlog: {level: loud}\nmenu_timeout: 5\nfoo: 1\n", []string{
			"f:1:7: http: x is not a whole number",
			"f:2:8: https: 99999 is not a port, 1 to 65535",
			`f:3:14: log.level: "loud" is none of debug, info, warn, error`,
			"f:4:15: menu_timeout: 5 is not a time such as 30s, 10m or 12h",
			"f:5:1: foo: unknown key",
		}},
		{"keys where a value is due", "http: {a: 1}\n", []string{"f:1:7: http: it takes a value, not keys"}},
		{"a value where keys are due", "dhcp: on\n", []string{"f:1:7: dhcp: it takes keys, not a value"}},
		{"no list", "kernel_args: x\n", []string{"f:1:14: kernel_args: x is not a list such as [a, b]"}},
		{"address", "address: 10.0.0.300\n", []string{"f:1:10: address: ParseAddr"}},
		{"pool missing", "dhcp:\n  mode: dhcp\n", []string{"f: dhcp.pool: mode dhcp needs the addresses to lease"}},
		{"pool backwards", "dhcp: {pool: 10.0.0.9-10.0.0.1}\n", []string{`f:1:14: dhcp.pool: "10.0.0.9-10.0.0.1" is not FIRST-LAST`}},
		{"relay networks", "dhcp: {relay_networks: [10.1.0.0/16, 0.0.0.0/0, 127.0.0.0/8]}\n", []string{
			"f:1:24: dhcp.relay_networks: 0.0.0.0/0 is not an IPv4 network of hosts", "f:1:24: dhcp.relay_networks: 127.0.0.0/8 is not"}},
		{"other server", "dhcp:\n  other_server: fight\n", []string{`f:2:17: dhcp.other_server: "fight" is none of warn, step-down`}},
		{"probe", "dhcp: {probe: 0s}\n", []string{"f:1:15: dhcp.probe: 0s is not between a second and five minutes"}},
		{"hostile argument", "kernel_args: [\"a b\"]\n", []string{"f:1:14: kernel_args: \"a b\" is not a kernel argument"}},
		{"syntax", "a: [1\n", []string{"f:1:4: "}},
		{"key twice", "http: 1\nhttp: 2\n", []string{"f:2:1: "}},
		{"a list", "- 1\n", []string{"f:1:1: the file must be keys and values"}},
		{"two documents", "http: 80\n---\nhttp: 81\n", []string{"f:3:1: there is more than one document"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := ParseConfig("f", []byte(c.in))
			var got []string
			if err != nil {
				got = strings.Split(err.Error(), "\n")
			}
			if len(got) != len(c.want) {
				t.Fatalf("ParseConfig(%q) = %q, want %q", c.in, got, c.want)
			}
			for i := range got {
				if !strings.HasPrefix(got[i], c.want[i]) {
					t.Errorf("ParseConfig(%q) line %d = %q, want %q", c.in, i, got[i], c.want[i])
				}
			}
		})
	}
}

func TestBootDir(t *testing.T) {
	dir := t.TempDir()
	c := Config{BootDir: dir}
	if _, err := c.bootDir(); err == nil {
		t.Error("bootDir() of an empty directory succeeded")
	}
	for _, name := range []string{"vmlinuz", "initramfs"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := c.bootDir(); err != nil || got != dir {
		t.Errorf("bootDir() = %q, %v, want %q", got, err, dir)
	}
}

func FuzzParseConfig(f *testing.F) {
	f.Add([]byte(DefaultFile))
	f.Add([]byte("a: &x [*x]\n? {b: c}\n: !!binary \"\\xff\"\n"))
	f.Add([]byte("dhcp: &d {mode: *d}\n<<: *d\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := ParseConfig("f", b); err == nil {
			if err := c.Validate(); err != nil {
				t.Errorf("ParseConfig(%q) passed what Validate refuses: %v", b, err)
			}
		}
	})
}
