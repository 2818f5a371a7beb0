package setting

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	adaKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMgER+oTq/ggOWnGoqhy6QkLlMK2+XvJBHehHinQ8WHT ada@example"
	hash   = "$6$wh4Ee0r/pOBZ4vJb$BlLhaLYwCOQ4dpMKx9QnQbc8ycVAYEwL5hhSVAQVAZ" +
		"vMZGNNVtT4d0GUJZWYUPZqzH0UWBMmT4YKyIxhBvZ7N0"
)

// machine is one with everything that a hostname can be made of.
var machine = Machine{Name: "lab-1", Serial: "SN 42/x", MAC: "52:54:00:12:34:56"}

// read decodes documents and merges them: the first is the weakest.
func read(t testing.TB, documents ...string) Merged {
	t.Helper()
	var all []Document
	for i, text := range documents {
		d, err := Decode([]string{"image", "site", "machine"}[i], []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, d)
	}
	return Merge(all...)
}

// resolve is read for one machine, whose settings must be good.
func resolve(t testing.TB, documents ...string) Settings {
	t.Helper()
	s, err := read(t, documents...).Resolve(machine)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestEverySetting(t *testing.T) {
	t.Parallel()
	text := `{
		"version": 1, "hostname": "{name}-{serial}", "domain": "example.org", "zone": "Europe/Berlin",
		"locale": "de_DE.UTF-8", "keymap": "de",
		"root": {"passwordHash": "!", "keys": ["` + adaKey + `"]},
		"users": [{"name": "ada", "fullName": "Ada Lovelace", "uid": 1500, "passwordHash": "` + hash + `",
			"keys": ["` + adaKey + `"], "groups": ["video"], "sudo": true, "shell": "/bin/zsh"}],
		"ssh": {"port": 2222, "rootLogin": "no", "passwordLogin": false, "secure": true},
		"network": {"dns": ["192.0.2.53"], "search": ["example.org"], "interfaces": [
			{"name": "lan0", "mac": "52:54:00:12:34:56", "addresses": ["192.0.2.5/24", "2001:db8::5/64"],
			 "routes": [{"to": "default", "via": "192.0.2.1"}, {"to": "default", "via": "fe80::1"},
			            {"to": "10.0.0.0/8", "via": "192.0.2.2", "metric": 50}], "mtu": 9000, "dns": ["2001:db8::53"]},
			{"name": "lan1", "mac": "52:54:00:12:34:57"}, {"name": "lan2", "mac": "52:54:00:12:34:58"},
			{"name": "bond0", "bond": {"mode": "802.3ad", "links": ["lan1", "lan2"]}, "dhcp4": true, "dhcp6": true},
			{"name": "lan0.7", "vlan": {"id": 7, "link": "lan0"}, "addresses": ["198.51.100.1/31"]}]},
		"ntp": ["pool.ntp.org", "192.0.2.123"], "proxy": "http://proxy.example.org:3128",
		"ca": [` + quoted(authority(t)) + `],
		"files": [{"path": "/etc/motd", "content": "hello\n", "owner": "ada", "group": "100", "mode": "0640"},
			{"path": "/etc/key", "base64": "AAEC", "secret": true}],
		"hooks": [{"name": "10-join", "script": "#!/bin/sh\ntrue\n", "timeout": "1m", "skip": true, "secret": true}],
		"configure": {"tool": "ansible", "git": "https://git.example.org/site.git", "branch": "main",
			"entry": "local.yml", "every": "30m", "data": {"role": "desk"}},
		"disks": {"passphrase": "correct horse"},
		"updates": {"nightly": false, "server": "optional"}, "keep": ["/srv/data", "/etc/lab.conf"],
		"args": ["quiet", "mitigations=off"], "swap": "4G", "userData": "#cloud-config\n"}`
	s := resolve(t, text)
	if s.Hostname != "lab-1-sn-42-x" || s.Swap != 4<<30 || s.Files[0].Permissions() != 0o640 ||
		s.Files[1].Permissions() != 0o600 || string(s.Files[1].Bytes()) != "\x00\x01\x02" ||
		s.Hooks[0].Limit() != time.Minute || s.Network.Interfaces[4].VLAN.ID != 7 {
		t.Errorf("settings %+v", s)
	}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[Settings]()) {
		if reflect.ValueOf(s).FieldByIndex(f.Index).IsZero() {
			t.Errorf("%s is zero: this test must have every setting", f.Name)
		}
	}
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if again := resolve(t, string(b)); !reflect.DeepEqual(s, again) {
		t.Errorf("settings change when they are written and read:\n%+v\n%+v", s, again)
	}
	want := []string{"users[ada].passwordHash", "files[/etc/key]", "hooks[10-join]", "configure.data",
		"disks.passphrase", "userData"}
	if got := s.Secrets(); !slices.Equal(got, want) {
		t.Errorf("secrets %q, want %q", got, want)
	}
	if left := s.Public().Secrets(); left != nil {
		t.Errorf("Public keeps %q", left)
	}
	if again := s.Secrets(); !slices.Equal(again, want) {
		t.Errorf("Public changed its receiver: %q", again)
	}
}

// Every field of type string that may have a secret in it must be among those that Values hides and Public removes.
func TestSecretsAreHidden(t *testing.T) {
	t.Parallel()
	const canary = "CANARY"
	m := read(t, `{"root": {"passwordHash": "$6$CANARY$CANARYCANARY"},
		"users": [{"name": "a", "passwordHash": "$6$CANARY$CANARYCANARY"}],
		"files": [{"path": "/a", "content": "CANARY", "secret": true}, 
			{"path": "/b", "base64": "CANARYCANARY", "secret": true}],
		"hooks": [{"name": "a", "script": "#!CANARY", "secret": true}],
		"configure": {"tool": "puppet", "path": "/etc/x", "data": {"a": {"b": ["CANARY", {"c": "CANARY"}]}}},
		"disks": {"passphrase": "CANARYCANARY"}, "userData": "CANARY"}`)
	for _, v := range m.Values() {
		if strings.Contains(v.Text, canary) {
			t.Errorf("Values shows %+v", v)
		}
	}
	s, err := m.Resolve(machine)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(s.Public())
	if err != nil || strings.Contains(string(b), canary) {
		t.Errorf("Public has a secret: %s, %v", b, err)
	}
}

func TestMerge(t *testing.T) {
	t.Parallel()
	image := `{"zone": "UTC", "keymap": "us", "args": ["quiet"], "keep": ["/srv"], "ntp": ["a", "b"],
		"root": {"keys": ["` + adaKey + `"]},
		"users": [{"name": "ada", "groups": ["video"], "shell": "/bin/sh"}, {"name": "bob"}],
		"files": [{"path": "/etc/motd", "content": "image", "mode": "0600"}], "ssh": {"passwordLogin": true},
		"network": {"interfaces": [{"name": "lan0", "mac": "52:54:00:12:34:56", "dhcp4": true}]}}`
	site := `{"zone": "Europe/Berlin", "args": ["quiet", "nosmt"], "ntp": ["c"], "ssh": {"passwordLogin": false},
		"users": [{"name": "ada", "groups": ["video", "audio"], "sudo": true}],
		"files": [{"path": "/etc/motd", "content": "site"}]}`
	own := `{"zone": null, "keep": ["/opt/lab", "/srv"], "users": [{"name": "bob", "absent": true}, {"name": "eve", "uid": 1234}],
		"network": {"interfaces": [{"name": "lan0", "dhcp4": false, "addresses": ["192.0.2.5/24"]}]}}`
	m := read(t, image, site, own)
	s, err := m.Resolve(machine)
	if err != nil {
		t.Fatal(err)
	}
	no := false
	want := Settings{Keymap: "us", Args: []string{"quiet", "nosmt"}, NTP: []string{"c"},
		Keep: []string{"/srv", "/opt/lab"},
		Root: Root{Keys: []string{adaKey}},
		Users: []User{{Name: "ada", Groups: []string{"video", "audio"}, Shell: "/bin/sh", Sudo: true},
			{Name: "eve", UID: 1234}},
		Files: []File{{Path: "/etc/motd", Content: "site"}}, SSH: SSH{PasswordLogin: &no},
		Network: Network{Interfaces: []Interface{{Name: "lan0", MAC: "52:54:00:12:34:56",
			Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.5/24")}}}}}
	if !reflect.DeepEqual(s, want) {
		t.Errorf("merged\n%+v\nwant\n%+v", s, want)
	}
	var got []string
	for _, v := range m.Values() {
		got = append(got, v.Place+" = "+v.Text+" ("+v.From+")")
	}
	lines := `args[0] = quiet (image)
args[1] = nosmt (site)
files[/etc/motd].content = site (site)
files[/etc/motd].path = /etc/motd (site)
keep[0] = /srv (image)
keep[1] = /opt/lab (machine)
keymap = us (image)
network.interfaces[lan0].addresses[0] = 192.0.2.5/24 (machine)
network.interfaces[lan0].dhcp4 = false (machine)
network.interfaces[lan0].mac = 52:54:00:12:34:56 (image)
network.interfaces[lan0].name = lan0 (machine)
ntp[0] = c (site)
root.keys[0] = ` + text(adaKey) + ` (image)
ssh.passwordLogin = false (site)
users[ada].groups[0] = video (image)
users[ada].groups[1] = audio (site)
users[ada].name = ada (site)
users[ada].shell = /bin/sh (image)
users[ada].sudo = true (site)
users[eve].name = eve (machine)
users[eve].uid = 1234 (machine)`
	if text := strings.Join(got, "\n"); text != lines {
		t.Errorf("values\n%s\nwant\n%s", text, lines)
	}
	again, err := Merge(m.Document("all")).Resolve(machine)
	if err != nil || !reflect.DeepEqual(again, want) {
		t.Errorf("merged again: %+v, %v", again, err)
	}
}

// The values of a list that is merged keep the document that they come from.
func TestOriginInList(t *testing.T) {
	t.Parallel()
	m := read(t, `{"args": ["a"]}`, `{"args": ["b", "c"]}`)
	for place, want := range map[string]string{"args[0]": "image", "args[1]": "site", "args[2]": "site"} {
		if got := m.From(place); got != want {
			t.Errorf("%s comes from %s, want %s", place, got, want)
		}
	}
}

// Merge must leave its documents as they are: the site's document is merged for many machines.
func TestMergeSharesNothing(t *testing.T) {
	t.Parallel()
	const text = `{"users": [{"name": "ada", "groups": ["a"]}],
		"network": {"interfaces": [{"name": "x", "dns": ["192.0.2.1"]}]},
		"configure": {"data": {"a": {"b": 1}}}}`
	site, err := Decode("site", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	own, err := Decode("machine", []byte(`{"users": [{"name": "ada", "groups": ["b"], "uid": 1000}],
		"network": {"interfaces": [{"name": "x", "mtu": 1500}]}, "configure": {"data": {"a": {"c": 2}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	before, _ := json.Marshal(site.values)
	Merge(site, own)
	if after, _ := json.Marshal(site.values); string(before) != string(after) {
		t.Errorf("the document changed from\n%s\nto\n%s", before, after)
	}
}

func TestHostname(t *testing.T) {
	t.Parallel()
	for pattern, want := range map[string]string{
		"lab": "lab", "pc-{mac}": "pc-525400123456", "{serial}": "sn-42-x", "{name}": "lab-1",
	} {
		if got := resolve(t, `{"hostname": "`+pattern+`"}`).Hostname; got != want {
			t.Errorf("%s became %s, want %s", pattern, got, want)
		}
	}
	m := read(t, `{"hostname": "{serial}"}`)
	if _, err := m.Resolve(Machine{Name: "a"}); err == nil || !strings.Contains(err.Error(), "this machine has none") {
		t.Errorf("a machine without a serial number: %v", err)
	}
}

// A site can ask for the secure state of all machines; a machine that adds no user is refused.
func TestPartOfMachine(t *testing.T) {
	t.Parallel()
	m := read(t, `{"ssh": {"secure": true}}`)
	if _, err := m.Resolve(PartOfMachine); err != nil {
		t.Errorf("the settings of a site: %v", err)
	}
	for _, of := range []Machine{AnyMachine, {Name: "a"}} {
		if _, err := m.Resolve(of); err == nil || !strings.Contains(err.Error(), "needs a user with sudo and a key") {
			t.Errorf("the settings of a machine: %v", err)
		}
	}
}

// authority is a certificate of a CA as PEM.
func authority(t testing.TB) string {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func quoted(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}
