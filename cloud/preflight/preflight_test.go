package preflight

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"griddle/cloud/firstboot"
	"griddle/cloud/provider"
	"griddle/cloud/stack"
	"griddle/cloud/yamltree"
)

const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB7RmVVqkPZ0Ph7yVqX3b6HqQ0b8n2q4Wl3eJ9sYk1Zz ops@desk"

// run checks a stack whose files are those given.
func run(t *testing.T, text string, files map[string]string, limit int) (faults, notes yamltree.Faults) {
	t.Helper()
	s, err := stack.Parse("f", []byte("version: 1\nname: x\nprovider: qemu\n"+text))
	if err != nil {
		t.Fatal(err)
	}
	read := func(name string) ([]byte, error) {
		if b, ok := files[name]; ok {
			return []byte(b), nil
		}
		return nil, errors.New(name + " is not there")
	}
	c := Check{Stack: s, Boot: firstboot.Options{ReadFile: read, Login: key, Limit: limit},
		Features: provider.Features{Name: "qemu", Format: provider.Raw, UserData: limit},
		Secret: func(s stack.Secret) error {
			return fmt.Errorf("%s is not set", s.Env)
		}, Sizes: []provider.Size{{Name: "small"}}}
	return c.Run()
}

// TestRun has one fault in each file, and its place.
func TestRun(t *testing.T) {
	const rest = "defaults: {image: web, size: small}\nroles: {web: {count: 3}}\n"
	ok := map[string]string{"a.pub": key + "\n", "bad.pub": "x y z\n",
		"long.yaml": "#cloud-config\nwrite_files: [{path: /x, content: '" + strings.Repeat("x", 9000) + "'}]\n"}
	for _, c := range []struct{ name, text, want string }{
		{"nothing", "keys: [a.pub]\n" + rest, ""},
		{"a key of a user, the admin not listed",
			"keys: [a.pub]\nusers: [{name: eve, keys: [a.pub, none.pub]}]\n" + rest, "f:5:35: users[0].keys[1]: "},
		{"a key of a user, the admin listed", "keys: [a.pub]\nusers: [{name: ops}, {name: eve, keys: [bad.pub]}]\n" +
			rest, "f:5:41: users[1].keys[0]: bad.pub has a line"},
		{"a user without keys", "users: [{name: eve}]\n" + rest, "f:4:9: users[0]: the user eve has no ssh key"},
		{"user-data that is too large", "keys: [a.pub]\nuserData: [{path: long.yaml}]\n" + rest,
			"f:7:9: roles.web: rendering the user-data of web-1: "},
		{"sixty-one rules", "keys: [a.pub]\nssh: {from: [10.0.0.0/8]}\ndefaults: {image: web, size: small, ports: [" +
			ports(61) + "]}\nroles: {web: {}}\n", "f:1:1: making firewall \"role.web\": "},
		{"a secret that is used", "keys: [a.pub]\nsecrets: {db: {env: DB}}\n" + strings.Replace(rest, "count: 3",
			`userData: [{script: "#!/bin/sh\n${secret.db}"}]`, 1), "f:5:11: secrets.db: DB is not set"},
	} {
		faults, _ := run(t, c.text, ok, 8<<10)
		got := faults.Error()
		if (c.want == "") != (len(faults) == 0) || !strings.HasPrefix(got, c.want) || len(faults) > 1 {
			t.Errorf("%s: Run = %d faults:\n%s\nwant %s", c.name, len(faults), got, c.want)
		}
	}
	faults, notes := run(t, "keys: [a.pub]\nsecrets: {db: {env: DB}}\n"+rest, ok, 64<<10)
	if len(faults) != 0 || len(notes) != 1 || !strings.Contains(notes[0].Error(), "nothing uses it") {
		t.Errorf("with a secret that nothing uses Run = %v, %v", faults, notes)
	}
}

func ports(n int) string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprint(1000+i))
	}
	return strings.Join(out, ", ")
}
