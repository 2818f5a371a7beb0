package userdata

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"griddle/cloud/userdata/pyyaml"
)

// packed compresses, for tests.
func packed(t testing.TB, s string) string {
	t.Helper()
	z, err := pack([]byte(s))
	if err != nil {
		t.Fatal(err)
	}
	return string(z)
}

// forMail is a multipart message.
func forMail(parts ...string) string {
	return "Content-Type: multipart/mixed; boundary=\"==B==\"\n" +
		"MIME-Version: 1.0\n\n--==B==\n" + strings.Join(parts, "\n--==B==\n") + "\n--==B==--\n"
}

// shown is what parts hold, one a line.
func shown(parts []Part) string {
	var b strings.Builder
	for _, p := range parts {
		switch {
		case p.Config != nil:
			m, err := Merge([]Part{p})
			if err != nil {
				return err.Error()
			}
			fmt.Fprintf(&b, "config %q\n", encode(m.Config))
		case p.Opaque != nil:
			fmt.Fprintf(&b, "%s %s %q\n", p.Opaque.Type, p.Opaque.Name, p.Opaque.Content)
		default:
			fmt.Fprintf(&b, "script %q\n", p.Script)
		}
	}
	return b.String()
}

// form is a file in one of the forms, with what it holds.
type form struct {
	name, in, want string
	alone          bool // cloud-init itself does not take it, or needs a network for it
}

// Forms are the files of TestRead that cloud-init takes itself, by name.
func Forms(t *testing.T) map[string]string {
	all := map[string]string{}
	for _, f := range every(t) {
		if !f.alone {
			all[f.name] = f.in
		}
	}
	return all
}

func every(t *testing.T) []form {
	const config, script = "#cloud-config\na: b\n", "#!/bin/sh\ntrue\n"
	const wantConfig, wantScript = `config "a: b\n"` + "\n", `script "#!/bin/sh\ntrue\n"` + "\n"
	const jinja = "## template: jinja\n#cloud-config\nhostname: {{ ds.meta_data.name }}\n"
	return []form{
		{"config", config, wantConfig, false},
		{"empty lines first", "\n \r\n\n" + config, wantConfig, false},
		{"byte order mark", "\ufeff" + config, wantConfig, true},
		{"comment first", "# web servers\n#\n" + config, wantConfig, true},
		{"comment on the first line", "#cloud-config # web\na: b\n", wantConfig, false},
		{"capitals", "#Cloud-Config\na: b\n", wantConfig, false},
		{"no line end", "#cloud-config", "config \"\"\n", false},
		{"script", script, wantScript, false},
		{"script behind an empty line", "\n" + script, wantScript, true},
		{"boothook", "#cloud-boothook\n" + script, `script "#cloud-boothook\n#!/bin/sh\ntrue\n"` + "\n", false},
		{"jinja", jinja, fmt.Sprintf("text/jinja2  %q\n", jinja), true},
		{"include", "#include\nhttps://a.example/x\n",
			`text/x-include-url  "#include\nhttps://a.example/x\n"` + "\n", true},
		{"include-once", "#include-once\nhttps://a.example/x\n",
			`text/x-include-once-url  "#include-once\nhttps://a.example/x\n"` + "\n", true},
		{"part-handler", "#part-handler\ndef list_types(): return []\n",
			`text/part-handler  "#part-handler\ndef list_types(): return []\n"` + "\n", true},
		{"gzip", packed(t, config), wantConfig, false},
		{"gzip of gzip", packed(t, packed(t, script)), wantScript, true},
		{"base64", base64.StdEncoding.EncodeToString([]byte(config)), wantConfig, true},
		{"base64 of gzip", base64.StdEncoding.EncodeToString([]byte(packed(t, config)))[:40] + "\n" +
			base64.StdEncoding.EncodeToString([]byte(packed(t, config)))[40:], wantConfig, true},
		{"archive", "#cloud-config-archive\n- type: text/cloud-config\n  content: |\n    a: b\n- |\n  #!/bin/sh\n" +
			"  true\n- {type: text/jinja2, filename: j, content: \"## template: jinja\\n#!/bin/sh\\n\"}\n- 'a: b'\n",
			wantConfig + wantScript + `text/jinja2 j "## template: jinja\n#!/bin/sh\n"` + "\n" + wantConfig, false},
		{"mail", forMail("Content-Type: text/cloud-config; charset=\"utf-8\"\n\na: b",
			"Content-Type: text/x-shellscript\nContent-Transfer-Encoding: base64\n\nIyEvYmluL3NoCnRydWUK"),
			wantConfig + wantScript, false},
		{"mail in CRLF", strings.ReplaceAll(forMail("Content-Type: text/plain\n\n"+config), "\n", "\r\n"),
			wantConfig, false},
		{"mail of one part", "MIME-Version: 1.0\nContent-Type: text/x-shellscript\n\n" + script, wantScript, false},
		{"mail in mail", forMail("Content-Type: multipart/mixed; boundary=C\n\n--C\n" +
			"Content-Type: text/plain\n\n" + config + "\n--C--"), wantConfig, false},
		{"mail with gzip", forMail("Content-Type: application/x-gzip\nContent-Transfer-Encoding: base64\n\n" +
			base64.StdEncoding.EncodeToString([]byte(packed(t, config)))), wantConfig, false},
		{"mail with gzip of mail", packed(t, forMail("Content-Type: text/x-shellscript\n\n"+config)),
			wantConfig, false},
		{"quoted-printable latin1", forMail("Content-Type: text/cloud-config; charset=iso-8859-1\n" +
			"Content-Transfer-Encoding: quoted-printable\n\na: b=FC"), "config \"a: \\\"bü\\\"\\n\"\n", true},
		{"script for each boot", forMail("Content-Type: text/x-shellscript-per-boot\n" +
			"Content-Disposition: attachment; filename=\"each.sh\"\n\n#!/bin/sh"),
			`text/x-shellscript-per-boot each.sh "#!/bin/sh"` + "\n", false},
		{"a handler's own type", forMail("Content-Type: text/part-handler\n\n#part-handler",
			"Content-Type: text/x-mine\nContent-Disposition: attachment; filename=\"../x\"\n\n1"),
			"text/part-handler  \"#part-handler\"\ntext/x-mine  \"1\"\n", true},
		{"anchors and merge keys", "#cloud-config\nx: &x {a: 1, b: 2}\ny: {<<: *x, b: 3}\nz: {<<: [{a: 9}, *x]}\n" +
			"w: &w yes\nv: [*w, !!str yes, !!str 1, !!int '2']\n&k key: *x\n",
			`config "key:\n  a: 1\n  b: 2\nv:\n  - true\n  - \"yes\"\n  - \"1\"\n  - 2\nw: true\nx:\n  a: 1\n  b: ` +
				`2\n\"y\":\n  a: 1\n  b: 3\nz:\n  a: 9\n  b: 2\n"` + "\n", false},
		{"binary", "#cloud-config\nwrite_files:\n- {path: /a, content: !!binary /wA=}\n" +
			"- {path: /b, encoding: gzip, content: !!binary H4sI}\n- {path: /c, content: !!binary aGk=}\n",
			`config "write_files:\n  - content: /wA=\n    encoding: b64\n    path: /a\n  - content: ` +
				`H4sI\n    encoding: gz+b64\n    path: /b\n  - content: hi\n    path: /c\n"` + "\n", true},
		{"merge_how is ours", "#cloud-config\nmerge_how: dict(replace)\nmerge_type: x\na: b\n", wantConfig, true},
		{"mail in a document", "#cloud-config\na: \"MIME-Version: 1.0\"\n",
			"config \"a: \\\"MIME-Version: 1.0\\\"\\n\"\n", true},
	}
}

// TestRead reads every form that cloud-init takes.
func TestRead(t *testing.T) {
	for _, c := range every(t) {
		t.Run(c.name, func(t *testing.T) {
			parts, err := Read("x", []byte(c.in), pyyaml.Read)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, shown(parts)); d != "" {
				t.Errorf("Read (-want +got):\n%s", d)
			}
		})
	}
}

// TestReadRefuses says what could not come through.
func TestReadRefuses(t *testing.T) {
	many := "#cloud-config-archive\n" + strings.Repeat("- 'a: b'\n", maxParts+1)
	nested := "#cloud-config\na: b\n"
	for range maxPacked + 2 {
		nested = packed(t, nested)
	}
	for _, c := range []struct{ name, in, want string }{
		{"nothing", "", "it must start with #cloud-config"},
		{"words", "hello\n", "it must start with #cloud-config"},
		{"a comment", "# hello\n", "it must start with #cloud-config"},
		{"patch", "#cloud-config-jsonp\n[]\n", "write what it changes as #cloud-config"},
		{"upstart", "#upstart-job\n", "write a systemd unit"},
		{"launch index", "#cloud-config\nlaunch-index: 1\n", "give the part to the server itself"},
		{"launch index of mail", forMail("Content-Type: text/cloud-config\nLaunch-Index: 1\n\na: b"),
			"part 1: Launch-Index"},
		{"type", forMail("Content-Type: text/html\n\n<p>"), "nothing handles the type text/html"},
		{"text", forMail("Content-Type: text/plain\n\nhello"),
			"part 1: a part of type text/plain has no first line that says what it is"},
		{"cut off", strings.TrimSuffix(forMail("Content-Type: text/cloud-config\n\na: b"), "--==B==--\n"),
			"is the file cut off?"},
		{"boundary", "MIME-Version: 1.0\nContent-Type: multipart/mixed\n\n", "multipart without a boundary"},
		{"charset", forMail("Content-Type: text/cloud-config; charset=utf-16\n\na: b"),
			`the charset "utf-16" is not known`},
		{"transfer", forMail("Content-Type: text/cloud-config\nContent-Transfer-Encoding: uuencode\n\na: b"),
			`"uuencode" is not known`},
		{"base64 in mail", forMail("Content-Type: text/cloud-config\nContent-Transfer-Encoding: base64\n\n!!!!"),
			"reading MIME: illegal base64"},
		{"many parts", many, "more than 64 parts"},
		{"packed often", nested, "it is packed more than 4 times"},
		{"bomb", packed(t, "#cloud-config\n"+strings.Repeat("#", 2*MaxInput)), "it is too large"},
		{"bombs", "#cloud-config-archive\n- &a '#!" + strings.Repeat("x", 400_000) +
			"'\n- *a\n- *a\n- *a\n- *a\n- *a\n", "has more than"},
		{"archive of archives", "#cloud-config-archive\n" + "- type: text/cloud-config-archive\n" +
			"  content: \"#cloud-config-archive\\n- x\"\n", "entry 1: entry 1:"},
		{"archive of numbers", "#cloud-config-archive\n- 1\n", "entry 1: its content is not text"},
		{"archive", "#cloud-config-archive\na: b\n", "must be a list"},
		{"no text", "#cloud-config\na: \xff\n", "it is not UTF-8"},
		{"second part", forMail("Content-Type: text/cloud-config\n\na: b", "Content-Type: text/cloud-config\n\na: [b"),
			"part 2: 1:"},
		{"script", forMail("Content-Type: text/x-shellscript\n\necho"), "a script must start with #!"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Read("x", []byte(c.in), pyyaml.Read)
			if err == nil || !strings.Contains(err.Error(), c.want) ||
				!strings.HasPrefix(err.Error(), "reading user-data x") {
				t.Errorf("Read = %v, want %q", err, c.want)
			}
		})
	}
}

// TestOpaque: what cannot be merged goes before our document, which is told to cloud-init in two parts.
func TestOpaque(t *testing.T) {
	parts := []Part{
		{From: "ours", Config: map[string]any{"runcmd": []any{"ours"}, "ssh_pwauth": false,
			"ntp": map[string]any{"servers": []any{"a"}}, "ssh_keys": map[string]any{"x": "y"}}},
		{From: "theirs", Opaque: &Opaque{Type: "text/jinja2",
			Content: []byte("## template: jinja\n#cloud-config\nssh_pwauth: true\nruncmd: [theirs]\n")}},
		{From: "theirs", Script: "#!/bin/sh\n"},
	}
	m, err := Merge(parts)
	if err != nil {
		t.Fatal(err)
	}
	b, err := m.Render(Options{})
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "opaque.txt", b)
	again, err := Merge(m.Parts("x"))
	if err != nil || !bytes.Equal(b, must(t, again)) {
		t.Errorf("merged again it is another: %v", err)
	}
	if _, err := Merge([]Part{{From: "x", Opaque: &Opaque{Type: "text/plain\nX: y"}}}); err == nil {
		t.Error("a type with a line break was taken")
	}
	if _, err := Merge([]Part{{From: "x", Opaque: &Opaque{Type: "text/plain", Name: "../x"}}}); err == nil {
		t.Error("a name that leads elsewhere was taken")
	}
}

// TestMailInADocument: cloud-init takes a document for mail where "MIME-Version:" is near its beginning,
// and finds nothing in it.
func TestMailInADocument(t *testing.T) {
	m, err := Merge([]Part{{From: "x", Config: map[string]any{"a": "mime-version: 1.0"}}})
	if err != nil {
		t.Fatal(err)
	}
	if b := must(t, m); !bytes.HasPrefix(b, []byte("Content-Type: multipart/mixed")) {
		t.Errorf("Render = %s", b)
	}
}

func must(t *testing.T, m *Merged) []byte {
	t.Helper()
	b, err := m.Render(Options{})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// FuzzRead has any file be read: what is accepted can be merged and written, and is read again to the same.
func FuzzRead(f *testing.F) {
	for _, s := range fuzzed() {
		f.Add([]byte("#cloud-config\n" + s))
	}
	for _, s := range []string{
		"#cloud-config-archive\n- 'a: b'\n- {type: text/x-shellscript, content: '#!x'}\n",
		forMail("Content-Type: text/cloud-config\n\na: b"), "#!/bin/sh\n", "\n\n#include x\n",
		packed(f, "#cloud-config\n"), "I2Nsb3VkLWNvbmZpZwphOiBiCg==", "#cloud-config\na: &a {b: c}\nd: {<<: *a}\n" +
			"e: !!binary aGk=\n", "## template: jinja\n#!/bin/sh\n", "#cloud-boothook\nx",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		parts, err := Read("x", b, pyyaml.Read)
		if err != nil {
			return
		}
		m, err := Merge(parts)
		if err != nil {
			return
		}
		out, err := m.Render(Options{})
		if err != nil {
			t.Fatal(err)
		}
		more, err := Read("x", out, pyyaml.Read)
		if err != nil && len(m.Opaque) == 0 && len(m.Scripts) < maxParts && len(out) <= MaxInput {
			t.Fatalf("what was written is refused: %v\n%s", err, out)
		}
		if err != nil || len(m.Opaque) > 0 {
			return
		}
		again, err := Merge(more)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(encode(m.Config), encode(again.Config)); d != "" {
			t.Fatalf("read again (-want +got):\n%s", d)
		}
	})
}
