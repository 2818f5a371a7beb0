package settingfile

import (
	"strings"
	"testing"

	"griddle/appliance/setting"
)

var machine = setting.Machine{Name: "lab-1", Serial: "SN42", MAC: "52:54:00:12:34:56"}

const network = "network:\n  interfaces:\n  - name: a\n    mac: 52:54:00:12:34:56\n"

func TestFaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, in, want string }{
		{"key", "hostname: a\nhostnam: b\n", "f.yaml:2:1: hostnam: there is no such key; did you mean hostname?"},
		{"entry", "users:\n- name: ada\n- name: bob\n  uid: 7\n",
			"f.yaml:4:3: users[bob].uid: 7 is not between 1000 and 59999"},
		{"all", "swap: x\nntp: a\n",
			"f.yaml:1:1: swap: \"x\" is not a size such as 4G or 512M\nf.yaml:2:1: ntp: it must be a list"},
		{"mode", "files: [{path: /a, mode: 0644}]\n", "f.yaml:1:20: files[/a].mode: it must be text in quotes"},
		{"in a list", "ntp: [a, b c]\n", "f.yaml:1:10: ntp[1]: \"b c\" is not a hostname or an address"},
		{"missing part",
			"network:\n  interfaces:\n  - name: a\n    mac: 52:54:00:12:34:56\n    routes: [{to: default}]\n",
			"f.yaml:5:14: network.interfaces[a].routes[0]: it has no gateway: give the router's address as via"},
		{"user twice", "users:\n- name: ada\n- name: bob\n- name: ada\n  sudo: true\n",
			"f.yaml:4:3: users[ada]: the user is in the list twice"},
		{"password", "users:\n- name: ada\n  password: secret123\n",
			"f.yaml:3:3: users[ada].password: a password in plain text is refused: " + setting.HashPassword},
		{"password as a hash", "root:\n  passwordHash: secret123\n",
			"f.yaml:2:3: root.passwordHash: this is not the hash of a password: " + setting.HashPassword},
		{"outside its network", network + "    addresses: [192.0.2.5/24]\n" +
			"    routes:\n    - {to: default, via: 198.51.100.1}\n",
			"f.yaml:7:7: network.interfaces[a].routes[0]: the gateway 198.51.100.1 is outside all networks of this " +
				"interface: correct it, or one of addresses"},
		{"no address of a host", network + "    addresses: [192.0.2.255/24]\n",
			"f.yaml:5:17: network.interfaces[a].addresses[0]: 192.0.2.255/24 is the first or the last address of its " +
				"network, which a machine cannot have"},
		{"not a mapping", "[]\n",
			"f.yaml: reading the settings of f.yaml: invalid settings: the document must be a mapping"},
		{"syntax", "a: [\n", "f.yaml:1:4: this is not YAML: sequence end token ']' not found"},
		{"hostname", "hostname: '{cpu}'\n", "f.yaml:1:1: hostname: \"{cpu}\" is not one of {name}, {serial} and {mac}"},
		{"alias", "ntp: &a [b]\n", "f.yaml:1:6: ntp: anchors (&) and aliases (*) are not allowed"},
		{"large", strings.Repeat("#", setting.MaxDocument+1),
			"f.yaml:1:1: the file has 262145 bytes, 262144 are allowed"},
	} {
		f, err := Parse("f.yaml", []byte(c.in))
		if err == nil {
			_, _, err = Resolve(machine, f)
		}
		if err == nil || err.Error() != c.want {
			t.Errorf("%s: the error is\n%v\nwant\n%s", c.name, err, c.want)
		}
	}
}

// A mistake is reported in the file that has the value.
func TestFaultOfOneFile(t *testing.T) {
	t.Parallel()
	site, err := Parse("site.yaml", []byte("users:\n- name: ada\n  uid: 1500\n"))
	if err != nil {
		t.Fatal(err)
	}
	own, err := Parse("machine.yaml", []byte("\nusers:\n- name: bob\n  uid: 1500\n"))
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = Resolve(machine, site, own)
	if want := "machine.yaml:4:3: users[bob].uid: ada has the same number"; err == nil || err.Error() != want {
		t.Errorf("the error is %v, want %s", err, want)
	}
	if _, s, err := Resolve(machine); err != nil || s.Hostname != "" {
		t.Errorf("no files are %+v, %v", s, err)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"", "hostname: a\n", "users: [{name: a, absent: true}]\n",
		"files:\n- path: /a\n  mode: '0644'\n",
		`{"swap": "1G", "configure": {"tool": "puppet", "path": "/a", "data": {"a": [null, 1.5]}}}`} {
		f.Add([]byte(s), []byte(s))
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		one, err1 := Parse("a", a)
		two, err2 := Parse("b", b)
		if err1 != nil || err2 != nil {
			return
		}
		m, s, err := Resolve(machine, one, two)
		if err != nil {
			if err.Error() == "" {
				t.Fatal("an error without text")
			}
			return
		}
		m.Values()
		if err := s.Check(); err != nil {
			t.Fatal(err)
		}
	})
}
