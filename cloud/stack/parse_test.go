package stack

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"griddle/cloud/yamltree"
)

var update = flag.Bool("update", false, "write goldens anew")

// golden compares got with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s differs (-want +got); -update writes it anew:\n%s", name, d)
	}
}

func glob(t testing.TB, pattern string) map[string][]byte {
	t.Helper()
	all, err := filepath.Glob(filepath.Join("testdata", pattern))
	if err != nil || len(all) == 0 {
		t.Fatalf("no files %s: %v", pattern, err)
	}
	out := map[string][]byte{}
	for _, f := range all {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		out[filepath.Base(f)] = b
	}
	return out
}

func TestGood(t *testing.T) {
	for name, b := range glob(t, "good/*.yaml") {
		s, err := Parse(name, b)
		if err != nil {
			t.Errorf("Parse(%s): %v", name, err)
			continue
		}
		j, err := json.MarshalIndent(s, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		golden(t, filepath.Join("good", strings.TrimSuffix(name, ".yaml")+".json"), string(j)+"\n")
	}
}

// TestBad compares all faults of whole files.
func TestBad(t *testing.T) {
	for name, b := range glob(t, "bad/*.yaml") {
		_, err := Parse(name, b)
		var faults yamltree.Faults
		if !errors.As(err, &faults) {
			t.Errorf("Parse(%s) = %v, want Faults", name, err)
			continue
		}
		golden(t, filepath.Join("bad", strings.TrimSuffix(name, ".yaml")+".txt"), err.Error()+"\n")
	}
}

const head = "version: 1\nname: demo\nprovider: qemu\n"

// faultTests are files with one fault, or few; what stands before is four lines long where whole is false.
var faultTests = []struct{ name, file, want string }{
	{"empty", "", "1:1: the file is empty; griddle cloud init writes one"},
	{"comments", "# nothing\n", "1:1: the file is empty; griddle cloud init writes one"},
	{"list", "- a\n", "1:1: it must be a mapping of keys, not a list"},
	{"binary", "version: 1\nname: \x00\n", "2:7: this is not text; save it as UTF-8 without control characters"},
	{"latin1", "name: \xe9\n", "1:7: this is not text; save it as UTF-8 without control characters"},
	{"nothing declared", head, "1:1: the file declares no role and no server"},
	{"version 2", "version: 2\nname: x\nprovider: qemu\nroles: {a: {image: a, size: b}}\n",
		"1:10: version: 2 is not a known version of the stack file; 1 is"},
	{"version text", "version: '1'\nname: x\nprovider: qemu\nroles: {a: {image: a, size: b}}\n",
		"1:10: version: it must be the number 1, not text"},
	{"no provider", "version: 1\nname: x\nroles: {a: {image: a, size: b}}\n", "1:1: the key provider is missing"},
	{"two documents", head + "roles: {a: {image: a, size: b}}\n---\nversion: 1\n",
		"6:1: there is a second document; write one document per file"},
}

func TestFaults(t *testing.T) {
	for _, c := range faultTests {
		check(t, c.name, c.file, c.want)
	}
	// Each of these follows four lines that are right: line 5 is its first.
	const base = head + "defaults: {image: web, size: small}\n"
	const end = "roles: {a: {}}\n"
	for _, c := range []struct{ name, file, want string }{
		{"unknown key", "nmae: x\n" + end, `5:1: the key "nmae" is unknown; did you mean name?`},
		{"far key", "zzzzzzzz: x\n" + end,
			`5:1: the key "zzzzzzzz" is unknown; known are version, name, provider, settings, network, admin, keys, ` +
				`users, ssh, secrets, userData, defaults, profiles, roles, groups, servers`},
		{"twice", "admin: x\nadmin: y\n" + end, "6:1: admin: the key is already defined on line 5"},
		{"nothing said", "admin:\n" + end, "5:1: admin: it has no value; leave the key out, or give it a value"},
		{"tab", "ssh:\n\tport: 22\n" + end, "6:1: this is not YAML: found character '\t' that cannot start any token"},
		{"tag", "admin: !!str ops\n" + end, `5:8: admin: tags such as "!!str" are not allowed; put text in quotes`},
		{"merge", "roles:\n  a: {<<: {count: 1}}\n",
			"6:7: roles.a: merge keys (<<) are not allowed; use profiles with inherits"},
		{"alias", "keys: *k\n" + end, "5:7: keys: the anchor &k is not defined before here"},
		{"root", "admin: root\n" + end, "5:8: admin: no one can log in as root; users with sudo: true become root"},
		{"yes", "roles: {a: {public: yes}}\n", "5:21: roles.a.public: it must be true or false, not text; write true"},
		{"number", "roles: {a: {size: 4}}\n",
			`5:19: roles.a.size: it must be the provider's name of a size, not 4; put it in quotes: "4"`},
		{"disk", "roles: {a: {disk: 10GB}}\n",
			`5:19: roles.a.disk: "10GB" is not a size such as 10GiB; the units are MiB, GiB and TiB`},
		{"disk part", "roles: {a: {disk: 1500MiB}}\n", "5:19: roles.a.disk: 1500MiB is not a multiple of 1GiB"},
		{"disk small", "roles: {a: {disk: 512MiB}}\n", "5:19: roles.a.disk: 512MiB is not between 1GiB and 64TiB"},
		{"disk huge", "roles: {a: {disk: 9223372036854775807TiB}}\n",
			"5:19: roles.a.disk: 9223372036854775807TiB is not between 1GiB and 64TiB"},
		{"arch", "roles: {a: {arch: arm46}}\n",
			`5:19: roles.a.arch: no architecture is called "arm46"; did you mean arm64?`},
		{"image", "roles: {a: {image: 'Web:x'}}\n",
			`5:20: roles.a.image: "Web:x" is not an image of the catalog such as web:stable`},
		{"image arch", "roles: {a: {image: 'web:x@arm64'}}\n", `5:20: roles.a.image: "web:x@arm64" is not an image ` +
			`of the catalog such as web:stable; the architecture has a key of its own: arch: arm64`},
		{"label", "roles: {Web_1: {}}\n", "5:9: roles.Web_1: the name of a role must be a DNS label: " +
			"lower-case letters, digits and inner hyphens; such as web-1"},
		{"count", "roles: {a: {count: 3, max: 2}}\n",
			"5:20: roles.a.count: the count 3 is not between the minimum 1 and the maximum 2"},
		{"min", "roles: {a: {count: 3, min: 4}}\n",
			"5:20: roles.a.count: the count 3 is not between the minimum 4 and the maximum 1000"},
		{"min max", "roles: {a: {count: 3, min: 4, max: 2}}\n",
			"5:28: roles.a.min: the minimum 4 is more than the maximum 2"},
		{"after", "roles: {head: {}, b: {after: haed}}\n",
			`5:30: roles.b.after: no role is called "haed"; did you mean head?`},
		{"circle", "roles:\n  a: {after: c}\n  b: {after: a}\n  c: {after: b}\n",
			"6:3: roles.a.after: it forms a circle: a -> c -> b -> a"},
		{"self circle", "roles:\n  a: {after: a}\n", "6:3: roles.a.after: it forms a circle: a -> a"},
		{"profile circle", "profiles:\n  p: {inherits: q}\n  q: {inherits: [p]}\n" + end,
			"6:3: profiles.p.inherits: it forms a circle: p -> q -> p"},
		{"profile", "profiles: {small: {}}\nroles: {a: {profile: smal}}\n",
			`6:22: roles.a.profile: no profile is called "smal"; did you mean small?`},
		{"group", "servers: {a: {group: x}}\n", `5:22: servers.a.group: no group is called "x"`},
		{"outside", "servers: {a: {address: 10.78.0.5}}\n",
			"5:24: servers.a.address: 10.78.0.5 is not in the network 10.77.0.0/24"},
		{"gateway", "servers: {a: {address: 10.77.0.1}}\n",
			"5:24: servers.a.address: 10.77.0.1 is the address of the gateway"},
		{"broadcast", "servers: {a: {address: 10.77.0.255}}\n", "5:24: servers.a.address: " +
			"10.77.0.255 is the first or last address of the network, which no server can have"},
		{"address twice", "servers:\n  a: {address: 10.77.0.9}\n  b: {address: 10.77.0.9}\n",
			"7:3: servers.b: a already has the address 10.77.0.9"},
		{"address of many", "roles: {a: {address: 10.77.0.9, count: 2}}\n", "5:22: roles.a.address: " +
			"a role of up to 2 servers cannot have one address; declare servers by their own names"},
		{"name of a number", "roles: {a: {}}\nservers: {a-7: {}}\n",
			"6:11: servers.a-7: server 7 of the role a has this name"},
		{"room", "network: {prefix: 10.77.0.0/28}\nroles: {a: {count: 14}}\n",
			"1:1: 10.77.0.0/28 has room for 13 servers, not 14; choose a larger network: {prefix: …}"},
		{"prefix", "network: {prefix: 10.77.0.1/24}\n" + end,
			"5:19: network.prefix: 10.77.0.1/24 has bits set after its 24 first; the network is 10.77.0.0/24"},
		{"prefix size", "network: {prefix: 10.0.0.0/8}\n" + end,
			"5:19: network.prefix: 10.0.0.0/8 is not an IPv4 network of /16 to /28; such as 10.77.0.0/24"},
		{"overlap", "roles: {a: {ports: [80-90, '85/tcp', 85/udp]}}\n",
			"5:28: roles.a.ports[1]: 85/tcp and 80-90/tcp overlap; write one entry, with all sources in from"},
		{"ssh", "ssh: {port: 2222}\nroles: {a: {ports: [22, 2000-3000]}}\n", "6:25: roles.a.ports[1]: " +
			"2000-3000/tcp contains port 2222, which is for ssh; set who may log in with ssh: {from: […]}"},
		{"port", "roles: {a: {ports: [70000]}}\n", "5:21: roles.a.ports[0]: 70000 is not between 0 and 65535"},
		{"range", "roles: {a: {ports: [90-80]}}\n", `5:21: roles.a.ports[0]: 90-80 ends before it begins`},
		{"sctp", "roles: {a: {ports: [80/sctp]}}\n",
			`5:21: roles.a.ports[0]: "80/sctp" is not a port such as 443, "8000-8100/udp" or icmp`},
		{"from", "roles: {a: {ports: [{port: 443, from: [10.0.0.0/33]}]}}\n",
			`5:40: roles.a.ports[0].from[0]: "10.0.0.0/33" is not a network such as 192.0.2.0/24`},
		{"volume", "roles: {a: {volumes: [{size: 1GiB}, {size: 2GiB}]}}\n",
			"5:37: roles.a.volumes[1]: another volume has the name data; give it a name"},
		{"mount", "roles: {a: {volumes: [{size: 1GiB, mount: /etc/x}]}}\n",
			"5:43: roles.a.volumes[0].mount: the system itself is at /etc/x; such as /srv"},
		{"user twice", "users: [{name: a}, {name: a}]\n" + end, "5:20: users[1]: the user a is in the list twice"},
		{"admin sudo", "users: [{name: ops, sudo: false}]\n" + end,
			"5:27: users[0].sudo: griddle logs in as ops, who must be able to become root"},
		{"private key", "keys:\n- |\n  -----BEGIN OPENSSH PRIVATE KEY-----\n  b3Bl\n" + end,
			"6:3: keys[0]: this is a private key, which must not be in this file; name the file that ends in .pub"},
		{"no key", "keys: [ssh-ed25519 AAAA]\n" + end,
			`5:8: keys[0]: "ssh-ed25519 AAAA" is not an ssh public key; if it is the path of a file, write {file: …}`},
		{"secret of two", "secrets: {a: {env: A, generate: 8}}\n" + end,
			"5:14: secrets.a: only one of env, file, generate is allowed, not env and generate"},
		{"secret of none", "secrets: {a: {}}\n" + end, "5:14: secrets.a: one of env, file, generate is missing"},
		{"identity", "secrets: {a: {env: A, identity: x}}\n" + end,
			"5:33: secrets.a.identity: identity needs file: only a file is decrypted"},
		{"timeout", "settings: {timeouts: {call: 2h}}\n" + end,
			"5:29: settings.timeouts.call: 2h is not between 1s and 1h0m0s"},
		{"proxy", "settings: {proxy: 'http://me:pw@proxy'}\n" + end,
			"5:19: settings.proxy: a user name or password must not be in this file"},
		{"script", "userData: [{script: 'echo'}]\n" + end,
			"5:21: userData[0].script: a script must start with #!; such as #!/bin/sh"},
		{"mode", "userData: [{write: {path: /x, content: x, mode: 644}}]\n" + end,
			`5:49: userData[0].write.mode: "644" is not permission bits such as 0644; write 0644`},
		{"two contents", "userData: [{write: {path: /x, content: x, source: y}}]\n" + end,
			"5:20: userData[0].write: only one of content, source is allowed, not content and source"},
		{"undeclared secret", "userData: [{script: '#!/bin/sh ${secret.db}'}]\nsecrets: {dc: {env: X}}\n" + end,
			"5:21: userData[0].script: ${secret.db}: no secret is called db; did you mean dc?"},
		{"unknown reference", "userData: [{script: '#!/bin/sh ${secert.db}'}]\n" + end, "5:21: userData[0].script: " +
			"the reference \"${secert.db}\" is unknown: did you mean secret?; for a plain ${ write $${"},
		{"output before", "roles:\n  a: {userData: [{script: '#!${role.b.outputs.t}'}]}\n  b: {outputs: {t: /t}}\n",
			"6:27: roles.a.userData[0].script: ${role.b.outputs.t} is not known yet: the role b is not before a; " +
				"write after: [b] in roles.a"},
		{"own output", "roles:\n  a: {outputs: {t: /t}, userData: [{script: '#!${role.a.outputs.t}'}]}\n",
			"6:45: roles.a.userData[0].script: ${role.a.outputs.t} is known only after a is up, " +
				"and its own servers get this; only roles after a can use it"},
		{"output name",
			"roles:\n  a: {after: b, userData: [{script: '#!${role.b.outputs.u}'}]}\n  b: {outputs: {t: /t}}\n",
			"6:37: roles.a.userData[0].script: ${role.b.outputs.u}: no output of b is called u; did you mean t?"},
		{"unused profile", "profiles: {p: {userData: [{script: '#!${secret.x}'}]}}\n" + end,
			"5:36: profiles.p.userData[0].script: ${secret.x}: no secret is called x"},
	} {
		check(t, c.name, base+c.file, c.want)
	}
	check(t, "no image", head+"roles: {a: {size: x}}\n",
		"4:9: roles.a: the image is missing; set it here or in defaults")
	check(t, "option", "version: 1\nname: x\nprovider: {kind: ec2, secret-key: x, region: 'https://a:b@c'}\n"+
		"roles: {a: {image: a, size: b}}\n",
		"3:23: provider.secret-key: a secret must not be in this file; put credentials in the provider's own "+
			"files or variables\n"+
			"3:46: provider.region: a URL with a user name or password must not be in this file; "+
			"put credentials in the provider's own files or variables")
}

func check(t *testing.T, name, file, want string) {
	t.Helper()
	_, err := Parse("f", []byte(file))
	got := strings.TrimPrefix(strings.ReplaceAll(fmt.Sprint(err), "\nf:", "\n"), "f:")
	if got != want {
		t.Errorf("%s: Parse(%q) =\n%s\nwant\n%s", name, file, got, want)
	}
}

// TestFaultPlaces has others find faults: they have the places that Parse's own have.
func TestFaultPlaces(t *testing.T) {
	s, err := Parse("f.yaml", []byte(head+`keys: [a.pub, b.pub]
secrets:
  db: {env: DB}
defaults: {image: web, size: small}
roles:
  web:
    userData:
      - {path: more.yaml}
`))
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"keys[1]":                    "f.yaml:4:15: keys[1]: x; y",
		"keys[7]":                    "f.yaml:4:7: keys[7]: x; y",
		"secrets.db":                 "f.yaml:6:3: secrets.db: x; y",
		"roles.web.userData[0].path": "f.yaml:11:16: roles.web.userData[0].path: x; y",
		"nowhere":                    "f.yaml:1:1: nowhere: x; y",
		"":                           "f.yaml:1:1: x; y",
	} {
		if got := s.Fault(path, "y", "x").Error(); got != want {
			t.Errorf("Fault(%q) = %s, want %s", path, got, want)
		}
	}
	if got, want := s.FaultAt(s.Servers[0].UserData[0].At, "", "x").Error(),
		"f.yaml:11:9: roles.web.userData[0]: x"; got != want {
		t.Errorf("FaultAt = %s, want %s", got, want)
	}
	if !s.Has("roles.web") || s.Has("roles.db") {
		t.Error("Has is wrong")
	}
}
