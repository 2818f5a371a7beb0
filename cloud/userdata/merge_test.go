package userdata

import (
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"griddle/cloud/userdata/pyyaml"
)

var update = flag.Bool("update", false, "write the goldens anew")

// golden compares with a file of testdata, or writes it.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	p := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(p)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("%s (-want +got):\n%s", p, d)
	}
}

// config is a Part from YAML.
func config(t *testing.T, from, yaml string) Part {
	t.Helper()
	m, err := parseConfig([]byte(yaml), pyyaml.Read)
	if err != nil {
		t.Fatal(err)
	}
	return Part{From: from, Config: m}
}

func TestMerge(t *testing.T) {
	for _, c := range []struct{ name, a, b, want, conflicts string }{
		{"mappings", "apt: {proxy: x, conf: k}", "apt: {proxy: z}", "apt:\n  conf: k\n  proxy: z\n",
			"apt.proxy: \"z\" (b) instead of \"x\" (a)"},
		{"the same twice", "timezone: UTC", "timezone: UTC", "timezone: UTC\n", ""},
		{"null takes away", "timezone: UTC\nlocale: C", "timezone: null", "locale: C\n",
			"timezone: nothing (b) instead of \"UTC\" (a)"},
		{"null of nothing", "{}", "timezone: null", "", ""},
		{"users by name", "users: [default, {name: ops, groups: 'adm, sudo', shell: /bin/sh}]",
			"users: [{name: ops, groups: [sudo, docker], shell: /bin/bash}, {name: dev}]",
			"users:\n  - default\n  - groups:\n      - adm\n      - sudo\n      - docker\n    name: ops\n" +
				"    shell: /bin/bash\n  - name: dev\n",
			`users[ops].shell: "/bin/bash" (b) instead of "/bin/sh" (a)`},
		{"groups by name", "groups: [{docker: [a]}, adm]", "groups: [{docker: [b, a]}]",
			"groups:\n  - docker:\n      - a\n      - b\n  - adm\n", ""},
		{"files by path", "write_files: [{path: /etc/a, content: x}, {path: /b, content: y, append: true}]",
			"write_files: [{path: /etc/../etc/a, content: z}, {path: /b, content: y, append: true}]",
			"write_files:\n  - content: z\n    path: /etc/../etc/a\n  - append: true\n    content: \"y\"\n" +
				"    path: /b\n  - append: true\n    content: \"y\"\n    path: /b\n",
			"write_files[/etc/a]: a mapping of 2 (b) instead of a mapping of 2 (a)"},
		{"packages as a set", "packages: [curl, [nginx, '1']]", "packages: [curl, [nginx, '2'], jq]",
			"packages:\n  - curl\n  - [nginx, \"2\"]\n  - jq\n",
			"packages[nginx]: a list of 2 (b) instead of a list of 2 (a)"},
		{"commands appended", "runcmd: [a, [b, c]]", "runcmd: [a]", "runcmd:\n  - a\n  - [b, c]\n  - a\n", ""},
		{"mounts by place", "mounts: [[/dev/vdb, /srv], [swap, none]]", "mounts: [[/dev/vdc, /srv]]",
			"mounts:\n  - [/dev/vdc, /srv]\n  - [swap, none]\n",
			"mounts[/srv]: a list of 2 (b) instead of a list of 2 (a)"},
		{"time servers once", "ntp: {servers: [a, b]}", "ntp: {servers: [b, c]}",
			"ntp:\n  servers:\n    - a\n    - b\n    - c\n", ""},
		{"other lists replaced", "swap: {x: [a]}", "swap: {x: [b, c]}", "swap:\n  x:\n    - b\n    - c\n",
			"swap.x: a list of 2 (b) instead of a list of 1 (a)"},
		{"other kinds", "x: [1]", "x: {y: 1}", "x:\n  \"y\": 1\n", "x: a mapping of 1 (b) instead of a list of 1 (a)"},
		{"secrets are not told", "password: hunter2", "password: swordfish", "password: swordfish\n",
			"password: 9 bytes (b) instead of 7 bytes (a)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := Merge([]Part{config(t, "a", c.a), config(t, "b", c.b)})
			if err != nil {
				t.Fatal(err)
			}
			if got := string(encode(m.Config)); got != c.want {
				t.Errorf("Merge = %s, want %s", got, c.want)
			}
			var told []string
			for _, conflict := range m.Conflicts {
				told = append(told, conflict.String())
			}
			if got := strings.Join(told, "\n"); got != c.conflicts {
				t.Errorf("conflicts = %s, want %s", got, c.conflicts)
			}
			again, err := Merge(m.Parts("x"))
			if err != nil || !reflect.DeepEqual(again.Config, m.Config) || len(again.Conflicts) > 0 {
				t.Errorf("merged again it is %v (%v), want %v", again.Config, err, m.Config)
			}
		})
	}
}

func TestMergeRefuses(t *testing.T) {
	deep := map[string]any{}
	for at, i := deep, 0; i < 2*MaxDepth; i++ {
		next := map[string]any{}
		at["a"], at = next, next
	}
	_, err := Merge([]Part{
		{From: "p1"},
		{From: "p2", Script: "echo"},
		{From: "p3", Config: map[string]any{"users": []any{map[string]any{"gecos": "x", "shell": "y"}}}},
		{From: "p4", Config: map[string]any{"runcmd": "ls"}},
		{From: "p5", Config: map[string]any{"write_files": []any{map[string]any{"path": "etc"}}}},
		{From: "p6", Config: deep},
		{From: "p7", Config: map[string]any{"x": struct{}{}}},
		{From: "p8", File: &File{Path: "/a/../b"}},
		{From: "p9", File: &File{Path: "/a", Owner: "root"}},
		{From: "p10", File: &File{Path: "/a", Mode: 1 << 16}},
		{From: "p11", Config: map[string]any{"x": "\xff"}},
	})
	if err == nil {
		t.Fatal("Merge has no error")
	}
	for _, want := range []string{"p1: it must be a mapping, a script or a file", "p2: a script must start",
		"p3: users[0]: a user needs a name", "p4: runcmd: it must be a list",
		"p5: write_files[0]: a file needs an absolute path", "p6: a.a", "p7: x: a value of Go's type struct {}",
		`p8: "/a/../b" is not an absolute`,
		`p9: /a: the owner "root"`, "p10: /a: the mode", "p11: x: text that is not UTF-8"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %q: %v", want, err)
		}
	}
}

// fuzzed are documents with all that the rules know.
func fuzzed() []string {
	return []string{
		"", "a: b", "users: [default, {name: a, groups: x}]\nruncmd: [ls, [a, 'b c']]\n",
		"write_files:\n- {path: /a, content: \"x\\ny\"}\n", "packages: [a, [b, 1]]\nmounts: [[a, /b], [swap]]\n",
		"groups: [a, {b: [c]}]\nntp: {servers: [a]}\n", "x: !!binary aGk=", "a: &b c\nd: *b", "- a", "a: [[[[[[",
		"a: |\n  b\n   c\n", "a: >-\n  b\n  c\n", "yes: no\nn: 0o17\nm: 017\nz: 1e3\nt: 12:30", "users: a, b",
		"a: \"\\u2028 \\x07\"", "a: null\nb: ~\nc:\n", "ssh_authorized_keys: [a, a]\nbootcmd: [null, a]\n",
		"#cloud-config\n{}\n---\n{}", "? a\n: b\n", "a: '\t'\nb: ' x'\nc: 'x '\n",
	}
}

// FuzzParse has any bytes be read: what is accepted is written and read again to the same.
func FuzzParse(f *testing.F) {
	for _, s := range fuzzed() {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseConfig(b, pyyaml.Read)
		if err != nil {
			return
		}
		n := normalizer{left: MaxValues}
		normal, err := n.mapping(place{}, m, 0)
		if err != nil {
			return
		}
		text := encode(normal)
		again, err := parseConfig(text, pyyaml.Read)
		if err != nil {
			t.Fatalf("parseConfig of what was written: %v\n%s", err, text)
		}
		n = normalizer{left: MaxValues}
		if again, err = n.mapping(place{}, again, 0); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(normal, again); d != "" {
			t.Fatalf("read again (-want +got):\n%s\nwritten:\n%s", d, text)
		}
	})
}

// FuzzMerge merges any two documents: always with one result, which merged again is the same.
func FuzzMerge(f *testing.F) {
	for _, a := range fuzzed() {
		for _, b := range fuzzed() {
			f.Add(a, b)
		}
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		var parts []Part
		for _, s := range []string{a, b} {
			m, err := parseConfig([]byte(s), pyyaml.Read)
			if err != nil {
				return
			}
			parts = append(parts, Part{From: s, Config: m})
		}
		first, err := Merge(parts)
		if err != nil {
			return
		}
		second, err := Merge(parts)
		if err != nil || !reflect.DeepEqual(first, second) {
			t.Fatalf("Merge twice gives %v and %v (%v)", first, second, err)
		}
		again, err := Merge(first.Parts("x"))
		if err != nil {
			t.Fatalf("Merge of what was merged: %v\n%s", err, encode(first.Config))
		}
		if d := cmp.Diff(first.Config, again.Config); d != "" || len(again.Conflicts) > 0 {
			t.Fatalf("merged again (-want +got):\n%s%v", d, again.Conflicts)
		}
		if _, err := first.Render(Options{Limit: 1 << 20, Gzip: true}); err != nil {
			t.Fatal(err)
		}
	})
}
