//go:build cloud

package userdata_test

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the handlers of cloud-init
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"griddle/cloud/guesttest"
	"griddle/cloud/userdata"
	"griddle/cloud/userdata/pyyaml"
)

// inGuest runs a program of the guest's tree, with files that are at /tmp there.
func inGuest(t *testing.T, tree string, files map[string][]byte, args ...string) []byte {
	t.Helper()
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(tree, "tmp", name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "chroot", append([]string{tree}, args...)...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8"}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v: %s%s", args, err, out, &stderr)
	}
	return out
}

// strange are strings that some YAML reader takes for something else.
func strange() []any {
	var list []any
	for _, s := range []string{"yes", "No", "on", "y", "N", "true", "~", "null", "012", "0o17", "0x1f", "1e3", "1_000",
		"1:30", ".5", "-.inf", ".nan", "+1", "=", "<<",
		"2001-01-01", "- a", "a: b", "a:", ":a", "a #b", "#a", " a", "a ", "\ta", "a\t", "", "é", "\u2028", "\u0085",
		"\ufeff", "\x07", "\x7f", "😀", "%a", "@a", "`a", "!a", "&a", "*a", "|", ">", "'", `"`, `\`, "[a",
		"{a", "a, b", "?", "? a", "---", "...", "/x: y", "a\nb", "a\n", "a\n\n", "\n", "\na", "a\n\nb\n", " a\nb",
		"a\n  b\n", "a\n \nb", "a \nb",
		"a\r\nb", "a\n# b\n", "a\n---\nb\n", "\t\na", "a\n\tb\n", strings.Repeat("long ", 300)} {
		list = append(list, s)
	}
	return list
}

// TestPeer has Debian's cloud-init read what we write: its schema accepts it, its YAML gives the same values, and
// its MIME parser the same parts.
func TestPeer(t *testing.T) {
	tree := filepath.Join(t.TempDir(), "tree")
	if err := guesttest.Tree(t.Context(), tree, os.Stderr); err != nil {
		t.Fatal(err)
	}
	goldens, err := filepath.Glob("testdata/plain.yaml")
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob("secure/testdata/*.yaml")
	if err != nil || len(more) == 0 {
		t.Fatalf("there are no goldens (%v)", err)
	}
	for _, g := range append(goldens, more...) {
		b, err := os.ReadFile(g)
		if err != nil {
			t.Fatal(err)
		}
		b, _, _ = bytes.Cut(b, []byte("\n=== "))
		out := inGuest(t, tree, map[string][]byte{"config.yaml": append(b, '\n')}, "cloud-init", "schema",
			"--config-file", "/tmp/config.yaml")
		if !bytes.Contains(out, []byte("Valid cloud-config")) {
			t.Errorf("%s: %s", g, out)
		}
	}

	keys := map[string]any{}
	for _, s := range strange() {
		if len(s.(string)) < 1000 { // longer ones are refused
			keys[s.(string)] = "value"
		}
	}
	config := map[string]any{"strings": strange(), "inner": map[string]any{"strings": []any{strange()}}, "keys": keys,
		"numbers": []any{int64(-1), uint64(1 << 63), 1.5, true, 1e300}}
	m, err := userdata.Merge([]userdata.Part{{From: "a test", Config: config},
		{From: "a test", Script: "#!/bin/sh\necho grüß\r\n"}, {From: "a test", Script: "#!/bin/sh\ntrue\n\n"}})
	if err != nil {
		t.Fatal(err)
	}
	b, err := m.Render(userdata.Options{})
	if err != nil {
		t.Fatal(err)
	}
	const read = `
import sys, json, yaml, hashlib
from cloudinit import user_data, helpers
class Paths:
    def get_ipath_cur(self, n=None): return "/tmp"
    def get_cpath(self, n=None): return "/tmp"
    def get_ipath(self, n=None): return None
    def get_runpath(self, n=None): return "/tmp"
m = user_data.UserDataProcessor(Paths()).process(open("/tmp/user-data", "rb").read())
parts = [p for p in m.walk() if p.get_content_maintype() != "multipart"]
out = {"scripts": [[p.get_filename(), p.get_content_type(), hashlib.sha256(p.get_payload(decode=True)).hexdigest()] for p in parts[1:]]}
out["config"] = yaml.safe_load(parts[0].get_payload(decode=True))
print(json.dumps(out))
`
	type result struct {
		Scripts [][]string
		Config  any
	}
	var got result
	for _, packed := range []bool{false, true} {
		if packed {
			if b, err = m.Render(userdata.Options{Limit: len(b) - 1, Gzip: true}); err != nil {
				t.Fatal(err)
			}
		}
		out := inGuest(t, tree, map[string][]byte{"user-data": b, "read.py": []byte(read)}, "python3", "/tmp/read.py")
		if err := json.Unmarshal(out, &got); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		text, err := json.Marshal(m.Config)
		if err != nil {
			t.Fatal(err)
		}
		want := result{}
		if err := json.Unmarshal(text, &want.Config); err != nil {
			t.Fatal(err)
		}
		for i, s := range m.Scripts {
			want.Scripts = append(want.Scripts, []string{fmt.Sprintf("script-%03d", i+1), "text/x-shellscript",
				fmt.Sprintf("%x", sha256.Sum256([]byte(s.Text)))})
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("cloud-init reads, compressed %v (-want +got):\n%s", packed, d)
		}
	}
}

//go:embed testdata/handle.py
var handle []byte

// handled is what cloud-init makes of user-data.
type handled struct {
	Config  map[string]any
	Scripts [][]string
}

// TestPeerForms has cloud-init read user-data in every form, as it is and as we write it, and
// compares what comes of it.
func TestPeerForms(t *testing.T) {
	tree := filepath.Join(t.TempDir(), "tree")
	if err := guesttest.Tree(t.Context(), tree, os.Stderr); err != nil {
		t.Fatal(err)
	}
	for name, in := range userdata.Forms(t) {
		parts, err := userdata.Read("x", []byte(in), pyyaml.Read)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		m, err := userdata.Merge(parts)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		b, err := m.Render(userdata.Options{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var got [2]handled
		for i, b := range [][]byte{[]byte(in), b} {
			out := inGuest(t, tree, map[string][]byte{"user-data": b, "handle.py": handle}, "python3",
				"/tmp/handle.py", "/tmp/user-data")
			if err := json.Unmarshal(out, &got[i]); err != nil {
				t.Fatalf("%s: %v: %s", name, err, out)
			}
			// What we do not merge comes first, which changes nothing for scripts of different kinds.
			slices.SortStableFunc(got[i].Scripts, func(a, b []string) int { return strings.Compare(a[0], b[0]) })
		}
		if d := cmp.Diff(got[0], got[1], cmpopts.EquateEmpty()); d != "" {
			t.Errorf("%s: cloud-init makes of it (-as it is +as we write it):\n%s", name, d)
		}
	}
}

// TestPeerOpaque has cloud-init merge a template with what secures a server: its lists come behind ours, and
// what both say is ours.
func TestPeerOpaque(t *testing.T) {
	tree := filepath.Join(t.TempDir(), "tree")
	if err := guesttest.Tree(t.Context(), tree, os.Stderr); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile("testdata/opaque.txt")
	if err != nil {
		t.Fatal(err)
	}
	var got handled
	out := inGuest(t, tree, map[string][]byte{"user-data": b, "handle.py": handle}, "python3",
		"/tmp/handle.py", "/tmp/user-data")
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	want := map[string]any{"runcmd": []any{"ours", "theirs"}, "ssh_pwauth": false,
		"ntp": map[string]any{"servers": []any{"a"}}, "ssh_keys": map[string]any{"x": "y"}}
	if d := cmp.Diff(want, got.Config); d != "" || len(got.Scripts) != 1 {
		t.Errorf("cloud-init makes of it %d scripts and (-want +got):\n%s", len(got.Scripts), d)
	}
}
