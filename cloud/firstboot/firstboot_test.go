package firstboot

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"griddle/cloud/bootreport"
	"griddle/cloud/stack"
	"griddle/cloud/userdata/secure"
)

// publicKey is a line of authorized_keys that is always the same for a name.
func publicKey(name string) string {
	seed := bytes.Repeat([]byte(name), ed25519.SeedSize)[:ed25519.SeedSize]
	k, err := ssh.NewPublicKey(ed25519.NewKeyFromSeed(seed).Public())
	if err != nil {
		panic(err)
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(k))) + " " + name
}

const file = `version: 1
name: web
provider: qemu
keys: ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB7RmVVqkPZ0Ph7yVqX3b6HqQ0b8n2q4Wl3eJ9sYk1Zz ops@desk"]
users: [{name: eve, keys: [eve.pub]}]
secrets: {db: {env: DB}}
defaults: {image: web, size: small, ports: [443], volumes: [{size: 1GiB, mount: /srv/data}]}
roles:
  head: {userData: [{config: {package_update: false, runcmd: [[echo, "${secret.db}"]]}}, {path: more.sh}, {write: {path: /etc/name, content: "${self.name} $${x.y}", expand: true, mode: 0640}}]}
`

func parse(t *testing.T, text string) *stack.Stack {
	t.Helper()
	s, err := stack.Parse("stack.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func files(name string) ([]byte, error) {
	switch name {
	case "eve.pub":
		return []byte("# Eve's\n" + publicKey("eve") + "\n"), nil
	case "more.sh":
		return []byte("#!/bin/sh\necho ${HOME} ${secret.db}\n"), nil
	}
	return nil, fmt.Errorf("%s is not there", name)
}

func TestRender(t *testing.T) {
	s := parse(t, file)
	look := func(r stack.Reference) (string, error) { return "<" + r.Kind + " " + r.Name + r.Field + ">", nil }
	b, err := New(s, Options{ReadFile: files, Login: publicKey("griddle")})(s.Servers[0], look)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"multipart", publicKey("eve"), publicKey("griddle"), "<secret db>",
		"tcp dport 443", "griddle-data"} {
		if !strings.Contains(string(b), want) {
			t.Errorf("there is no %q in\n%s", want, b)
		}
	}
	again, err := New(s, Options{ReadFile: files, Limit: 2000})(s.Servers[0], look)
	if err == nil || !strings.Contains(err.Error(), "head-1") {
		t.Errorf("2000 bytes are enough for %d: %v", len(again), err)
	}
}

func TestDeclared(t *testing.T) {
	digest := func(text string, o Options) string {
		s := parse(t, text)
		o.ReadFile = files
		d, err := Declared(s, o)(s.Servers[0])
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	want := digest(file, Options{})
	for _, c := range []struct {
		name, text string
		o          Options
		same       bool
	}{
		{"another line", "# a comment\n" + file, Options{}, true},
		{"another login key", file, Options{Login: publicKey("other")}, true},
		{"a port", strings.Replace(file, "443", "444", 1), Options{}, false},
		{"a file's mode", strings.Replace(file, "0640", "0600", 1), Options{}, false},
		{"a zone", file + "settings: {zone: UTC}\n", Options{}, false},
	} {
		if got := digest(c.text, c.o); (got == want) != c.same {
			t.Errorf("%s: the same is %v, want %v", c.name, got == want, c.same)
		}
	}
}

func TestPrivateKeysAreRefused(t *testing.T) {
	s := parse(t, strings.Replace(file, "eve.pub", "id", 1))
	o := Options{ReadFile: func(string) ([]byte, error) { return []byte("-----BEGIN OPENSSH PRIVATE KEY-----\n"), nil }}
	if _, err := New(s, o)(s.Servers[0], nil); err == nil || !strings.Contains(err.Error(), "private key") {
		t.Errorf("a private key is taken: %v", err)
	}
}

// TestReportIsWhereUpLooks compares what the user-data has a server write with what the cloud's up reads.
func TestReportIsWhereUpLooks(t *testing.T) {
	if bootreport.Path != secure.Report || bootreport.Marker != secure.Marker {
		t.Errorf("servers write %s and %q, up reads %s and %q", secure.Report, secure.Marker,
			bootreport.Path, bootreport.Marker)
	}
}
