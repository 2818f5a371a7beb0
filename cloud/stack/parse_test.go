package stack

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the goldens anew")

func golden(t *testing.T, name, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile("testdata/"+name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is\n%s\nwant\n%s", name, got, want)
	}
}

func TestParseWhole(t *testing.T) {
	b, err := os.ReadFile("testdata/whole.yaml")
	if err != nil {
		t.Fatal(err)
	}
	s, err := Parse("whole.yaml", b)
	if err != nil {
		t.Fatal(err)
	}
	j, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "whole.json", string(j)+"\n")
}

// head is a file without faults, to which the tests add some.
const head = "version: 1\nname: web\nprovider: qemu\nkeys: [~/key.pub]\ndefaults: {image: web}\n"

func TestFaults(t *testing.T) {
	for _, c := range []struct{ name, file, want string }{
		{"nothing", "", "f: the file has 1 documents, not one"},
		{"no mapping", "- a\n", "f:1:1: this is a list, not a mapping"},
		{"empty", "{}\n", "f:1:1: the version is missing (write version: 1)"},
		{"no YAML", "a: [\n", "this is not YAML"},
		{"unknown key", head + "rolls: {}\n", `f:6:1: rolls: the key "rolls" is not known (did you mean roles?)`},
		{"twice", head + "name: b\nroles: {a: {}}\n", "f:6:1: name: the key is there twice, first in line 2"},
		{"type", head + "roles: {a: {count: many}}\n", `f:6:20: roles.a.count: "many" is no whole number from 0 to 1000`},
		{"count outside", head + "roles:\n  a: {count: 3, max: 2}\n", "f:7:3: roles.a: the count 3 is not within min 0 and max 2"},
		{"role after nothing", head + "roles: {a: {after: b}}\n", `f:6:20: roles.a.after: there is no role "b"`},
		{"roles in a circle", head + "roles: {a: {after: b}, b: {after: a}}\n", "the roles a, b wait for each other"},
		{"profiles in a circle", head + "profiles: {p: {inherits: q}, q: {inherits: p}}\nroles: {a: {profile: p}}\n", "the profile inherits itself"},
		{"no such profile", head + "profiles: {large: {}}\nroles: {a: {profile: lrge}}\n", `f:7:22: roles.a.profile: there is no profile "lrge" (did you mean large?)`},
		{"address outside", head + "servers: {a: {address: 10.1.1.1}}\n", "the address 10.1.1.1 is none that a server can have in 10.77.0.0/24"},
		{"the gateway's address", head + "servers: {a: {address: 10.77.0.1}}\n", "whose first one is the gateway's"},
		{"address twice", head + "servers: {a: {address: 10.77.0.9}, b: {address: 10.77.0.9}}\n", "a and b have the address 10.77.0.9"},
		{"size", head + "roles: {a: {volumes: [{size: 1500MiB}]}}\n", "f:6:30: roles.a.volumes[0].size: 1500MiB is not a multiple of 1GiB"},
		{"port", head + "roles: {a: {ports: [70000, 9-5]}}\n", `f:6:21: roles.a.ports[0]: "70000" is no range within 1 to 65535`},
		{"no such secret", head + "roles: {a: {userData: [{script: \"#!/bin/sh\\n${secret.x}\"}]}}\n", "${secret.x}: there is no such secret"},
		{"shell's variable", head + "roles: {a: {userData: [{script: \"#!/bin/sh\\n${HOME}\"}]}}\n", "${HOME} is no reference that griddle knows"},
		{"output too early", head + "roles: {b: {outputs: {t: /t}}, a: {userData: [{config: {x: \"${role.b.outputs.t}\"}}]}}\n", "the role is not up by then: name it in after"},
		{"a secret in the file", head + "secrets: {p: hunter2}\nroles: {a: {}}\n", "f:6:14: secrets.p: a stack file holds no secrets"},
		{"a password of the provider's", strings.Replace(head, "provider: qemu", "provider: {kind: ec2, password: x}", 1) + "roles: {a: {}}\n", "credentials do not belong into a stack file"},
		{"private key", strings.Replace(head, "~/key.pub", `"-----BEGIN OPENSSH PRIVATE KEY-----"`, 1) + "roles: {a: {}}\n", "this is a private key"},
		{"no keys", strings.Replace(head, "keys: [~/key.pub]\n", "", 1) + "roles: {a: {}}\n", "nobody could log in: the stack has no keys"},
		{"no image", strings.Replace(head, "image: web", "size: small", 1) + "roles: {a: {}}\n", "the server a-1 has no image"},
		{"anchor", head + "roles: {a: &x {}, b: *x}\n", "anchors, aliases and merge keys are not taken"},
		{"name", head + "roles: {Head_1: {}}\n", `"Head_1" cannot be a name`},
		{"root", head + "admin: root\nroles: {a: {}}\n", "root does not log in to servers"},
		{"deep", head + "x: " + strings.Repeat("[", 1000), "nested more than 100 deep"},
		{"large", strings.Repeat("#", MaxSize+1), "more than 1048576"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse("f", []byte(c.file))
			var f Faults
			if !errors.As(err, &f) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v\nwant %s", err, c.want)
			}
		})
	}
}

func TestEveryFaultAtOnce(t *testing.T) {
	_, err := Parse("f", []byte("version: 2\nname: A\nprovider: qemuu\nkeys: [~/k]\nroles: {a: {count: -1, sice: x}}\n"))
	golden(t, "faults.txt", err.Error()+"\n")
}

func TestExpand(t *testing.T) {
	got, err := Expand("a ${secret.x} $${y} ${role.r.outputs.t}$", func(r Reference) (string, error) { return "<" + r.String() + ">", nil })
	if want := "a <${secret.x}> ${y} <${role.r.outputs.t}>$"; got != want || err != nil {
		t.Errorf("Expand = %q, %v, want %q", got, err, want)
	}
	for _, s := range []string{"${}", "${x}", "${secret}", "${secret.}", "${role.a.outputs}", "${self.password}", "${server.a.b.c}"} {
		if _, err := References(s); err == nil {
			t.Errorf("%s is taken for a reference", s)
		}
	}
}

func FuzzParse(f *testing.F) {
	whole, err := os.ReadFile("testdata/whole.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add([]byte(head + "roles: {a: {}}\n"))
	f.Add([]byte("? ? ? a\n: b\n"))
	f.Add([]byte("{a: {b: [c, {d: !!binary x}]}}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		begun := time.Now()
		s, err := Parse("f", b)
		if (s == nil) == (err == nil) {
			t.Fatalf("Parse = %v, %v", s, err)
		}
		again, err2 := Parse("f", b)
		if err != nil {
			if err2 == nil || err.Error() != err2.Error() {
				t.Fatalf("first %v, then %v", err, err2)
			}
			return
		}
		j1, _ := json.Marshal(s)
		j2, _ := json.Marshal(again)
		if string(j1) != string(j2) {
			t.Fatalf("first %s, then %s", j1, j2)
		}
		if d := time.Since(begun); d > time.Minute {
			t.Fatalf("it took %v", d)
		}
	})
}
