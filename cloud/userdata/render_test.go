package userdata

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	netmail "net/mail"
	"strings"
	"testing"

	"encoding/base64"

	"griddle/cloud/userdata/pyyaml"
)

// everything are parts with one of each.
func everything(t *testing.T) []Part {
	binary := make([]byte, 256)
	for i := range binary {
		binary[i] = byte(i)
	}
	return []Part{
		config(t, "stack, stack.yaml:3:1", `
users: [default, {name: ops, sudo: 'ALL=(ALL) NOPASSWD:ALL', groups: adm, ssh_authorized_keys: [ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPxAAX5qmNVv1n2a6jVdbMwVN4vhjZt7yYtnPEZCZKO7 ops]}]
packages: [curl, jq]
runcmd: [[systemctl, enable, web], 'echo "hello: world" >/dev/console']
timezone: Europe/Berlin
ssh_pwauth: no
`),
		{From: "stack, stack.yaml:9:1",
			File: &File{Path: "/etc/motd", Content: []byte("Welcome.\n\n\tIndented: yes\n")}},
		{From: "role web, stack.yaml:12:5",
			File: &File{Path: "/etc/web/key.bin", Content: binary, Owner: "ops:ops", Mode: 0o600}},
		{From: "role web, stack.yaml:15:5",
			File: &File{Path: "/etc/web/large", Content: []byte(strings.Repeat("the same line\n", 400))}},
		{From: "role web, stack.yaml:16:5", File: &File{Path: "/etc/web/crlf", Content: []byte("a\r\nb")}},
		{From: "role web, stack.yaml:17:5", File: &File{Path: "/etc/web/empty"}},
		config(t, "server web-1, stack.yaml:20:5",
			"packages: [jq, nginx]\ntimezone: UTC\nruncmd: [[sh, -c, \"echo one\\necho two\\n\"]]\n"),
	}
}

func TestRender(t *testing.T) {
	parts := everything(t)
	m, err := Merge(parts)
	if err != nil {
		t.Fatal(err)
	}
	b, err := m.Render(Options{Limit: 16 << 10})
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "plain.yaml", b)
	var conflicts strings.Builder
	for _, c := range m.Conflicts {
		conflicts.WriteString(c.String() + "\n")
	}
	golden(t, "conflicts.txt", []byte(conflicts.String()))

	m, err = Merge(append(parts, Part{From: "role web", Script: "#!/bin/sh\necho hello\n"},
		Part{From: "role web", Script: "#!/bin/sh\necho grüß\r\n"},
		Part{From: "role web", Script: "#cloud-boothook\n#!/bin/sh\ntrue\n"}))
	if err != nil {
		t.Fatal(err)
	}
	if b, err = m.Render(Options{}); err != nil {
		t.Fatal(err)
	}
	golden(t, "multipart.txt", b)

	// Another's mail parser gets each part byte for byte.
	message, err := netmail.ReadMessage(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	_, params, err := mime.ParseMediaType(message.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"#cloud-config\n" + string(encode(m.Config))}
	for _, s := range m.Scripts {
		want = append(want, s.Text)
	}
	r := multipart.NewReader(message.Body, params["boundary"])
	for i, w := range want {
		p, err := r.NextRawPart()
		if err != nil {
			t.Fatal(err)
		}
		var body io.Reader = p
		switch p.Header.Get("Content-Transfer-Encoding") {
		case "base64":
			body = base64.NewDecoder(base64.StdEncoding, p)
		case "quoted-printable":
			body = quotedprintable.NewReader(p)
		}
		got, err := io.ReadAll(body)
		if err != nil || string(got) != w {
			t.Errorf("part %d is %q (%v), want %q", i, got, err, w)
		}
	}
}

// TestFiles: what is embedded comes out byte for byte.
func TestFiles(t *testing.T) {
	for _, p := range everything(t) {
		if p.File == nil {
			continue
		}
		e, err := p.File.entry()
		if err != nil {
			t.Fatal(err)
		}
		read, err := parseConfig(encode(e), pyyaml.Read)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Decode(read, MaxInput)
		if err != nil || !bytes.Equal(got, p.File.Content) {
			t.Errorf("%s is %q (%v), want %q", p.File.Path, got, err, p.File.Content)
		}
	}
}

func FuzzFile(f *testing.F) {
	for _, s := range []string{"", "a", "a\n", "\n a", "a\n \nb", "\ta\nb\n\n", "\r", "\x00", "\xff", "a: b\n- c",
		strings.Repeat("x\n", 2000)} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > MaxInput {
			return
		}
		e, err := (&File{Path: "/a", Content: b}).entry()
		if err != nil {
			t.Fatal(err)
		}
		m, err := parseConfig(encode(map[string]any{"write_files": []any{e}}), pyyaml.Read)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Decode(m["write_files"].([]any)[0].(map[string]any), MaxInput)
		if err != nil || !bytes.Equal(got, b) {
			t.Fatalf("%q became %q (%v)", b, got, err)
		}
	})
}

func TestTooLarge(t *testing.T) {
	random := []byte(strings.Repeat("0123456789abcdef", 100))
	for i := range random {
		random[i] ^= byte(i * i >> 3)
	}
	m, err := Merge([]Part{
		{From: "role a", File: &File{Path: "/large", Content: random}},
		{From: "role b", Script: "#!/bin/sh\n" + strings.Repeat("#", 500)},
		config(t, "role c", "timezone: UTC\nruncmd: [ls]"),
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, gz := range []bool{false, true} {
		_, err = m.Render(Options{Limit: 700, Gzip: gz})
		var large *TooLarge
		if !errors.As(err, &large) || large.Limit != 700 || large.Largest[0].What != "write_files[/large]" ||
			large.Largest[0].From != "role a" ||
			large.Largest[1].What != "script 1" {
			t.Errorf("Render(gzip %v) = %v", gz, err)
		}
	}
	m, err = Merge([]Part{{From: "role b", Script: "#!/bin/sh\n" + strings.Repeat("#", 5000)}})
	if err != nil {
		t.Fatal(err)
	}
	b, err := m.Render(Options{Limit: 700, Gzip: true})
	if err != nil || !bytes.HasPrefix(b, []byte{0x1f, 0x8b}) {
		t.Errorf("Render = %.20q (%v), want gzip", b, err)
	}
	if plain, err := unpack(b, 1<<20); err != nil || !bytes.Contains(plain, []byte("multipart/mixed")) {
		t.Errorf("it holds %.20q (%v)", plain, err)
	}
}

func TestReadOne(t *testing.T) {
	for _, c := range []struct{ in, err string }{
		{"#cloud-config\na: b\n", ""},
		{"#cloud-config \r\na: b\n", ""},
		{"#!/bin/sh\n", ""},
		{"#cloud-boothook\n#!/bin/sh\n", ""},
		{"a: b\n", "it must start with"},
		{"# web\n\n#cloud-config\na: b\n", ""},
		{"#cloud-config\na: b\na: c\n", "3:1: a: the key is already defined on line 2"},
		{"#cloud-config\n- a\n", "must be a mapping"},
		{"#cloud-config\na: *x\n", "2:4: a: the anchor &x is not defined before here"},
		{"#cloud-config\na: &x [*x]\n", "2:8: a[0]: the anchor &x is inside itself"},
		{"#cloud-config\na: !!set {b}\n", "2:4: a: the tag \"!!set\" is not allowed here"},
		{"#cloud-config\na: !!binary /w==\n", "2:4: bytes that are not text belong in a file"},
		{"#cloud-config\na: !!int x\n", "2:4: a: \"x\" is not what the tag !!int says"},
		{"#cloud-config\na: {<<: b}\n", "a merge key needs a mapping"},
		{"#cloud-config\na: " + strings.Repeat("&x ", 100) + "b\n",
			"more than 32 mappings and lists are inside one another"},
		{"#cloud-config\na:\n" + strings.Repeat(" !!str\n", 100) + " b\n",
			"more than 32 mappings and lists are inside one another"},
		{"#cloud-config\na: &a [x, x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a]\n" +
			"c: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b, *b]\n" +
			"d: &d [*c, *c, *c, *c, *c, *c, *c, *c, *c, *c]\ne: [*d, *d, *d, *d, *d, *d, *d, *d, *d, *d]\n",
			"more than 50000 values"},
		{"#cloud-config\na: &a " + strings.Repeat("x", 500_000) + "\nb: [*a, *a, *a, *a, *a]\n",
			"has more than 2097152 bytes"},
		{"#cloud-config\na: [b\n", "2:"},
		{"#cloud-config\na: *x\nb: *y\n",
			"2:4: a: the anchor &x is not defined before here; 3:4: b: the anchor &y is not defined before here"},
		{"#cloud-config\na: \"\\0\"\n", "2:4: a: this is not text"},
		{"#cloud-config\n? a\n: b\n", "2:1: a key must be one word"},
		{"#cloud-config\na: .nan\n", "2:4: a: .nan is not allowed as a number"},
		{"#cloud-config\na: " + strings.Repeat("[", 100), "more than 32 mappings and lists are inside one another"},
		{"#cloud-config\n" + strings.Repeat("- ", 100), "more than 32 mappings and lists are inside one another"},
		{"#cloud-config\na: b\n---\nc: d\n", "4:1: there is a second document"},
		{"#!" + strings.Repeat("x", MaxInput), "bytes"},
	} {
		_, err := Read("x", []byte(c.in), pyyaml.Read)
		if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
			t.Errorf("Read(%.40q) = %v, want %q", c.in, err, c.err)
		}
	}
}
