package cloud

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"filippo.io/age"

	"griddle/cloud/stack"
)

func TestParseState(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{`{"version":1,"stack":"demo"`, "line 1: unexpected end"},
		{"{\"version\":1,\n\"stack\":7}", "line 2: "},
		{`{"version":2,"stack":"demo"}`, "it has version 2, and this griddle knows 1"},
		{`{"version":1,"stack":"demo","new":1}`, `unknown field "new"`},
		{`{"version":1,"stack":"demo"} {}`, "line 1: invalid character '{'"},
		{`{"version":1,"stack":"../x"}`, `"../x" is no name`},
		{`{"version":1,"stack":"demo","servers":{"a/b":{"private":"","phase":"booted"}}}`, `"a/b" is no name`},
		{`{"version":1,"stack":"demo","servers":{"a":null}}`, "server a is empty"},
		{`{"version":1,"stack":"demo","servers":{"a":{"private":"fe80::1","phase":"x"}}}`, `phase "x" is unknown`},
		{`{"version":1,"stack":"demo","scale":{"w":-1}}`, `role "w" has -1 servers`},
		{strings.Repeat(" ", MaxState+1), "are more than"},
	} {
		if _, err := ParseState([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("ParseState(%.80q) = %v, want %q in it", c.text, err, c.want)
		}
	}
}

// TestState has a golden of the file, which others' griddle must be able to read.
func TestState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		s := demo()
		s.Settings.Parallel = 1
		b.up(t, s)
		text, err := os.ReadFile(filepath.Join(b.files, "state.json"))
		if err != nil {
			t.Fatal(err)
		}
		state, err := ParseState(text)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := state.Encode(); err != nil || !bytes.Equal(again, text) {
			t.Errorf("encoded again it is\n%s, %v, want\n%s", again, err, text)
		}
		for _, v := range state.Servers { // a secret is in the user-data, and its digest in the fingerprint
			v.Made.Want = ""
		}
		text, _ = state.Encode()
		golden(t, "state.json", string(text))
	})
}

func FuzzParseState(f *testing.F) {
	if b, err := os.ReadFile("testdata/state.json"); err == nil {
		f.Add(b)
	}
	f.Add([]byte(`{"version":1,"stack":"demo","servers":{"a":null}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ParseState(b)
		if err != nil {
			return
		}
		again, err := s.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseState(again); err != nil {
			t.Errorf("what was read from %q cannot be read again: %v", b, err)
		}
	})
}

func TestDamagedState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.up(t, demo())
		path := filepath.Join(b.files, "state.json")
		if err := os.Truncate(path, 100); err != nil {
			t.Fatal(err)
		}
		before := standing(b.m)
		if _, err := b.Up(t.Context(), demo(), Options{}); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("Up = %v, want one that names %s", err, path)
		}
		if standing(b.m) != before {
			t.Error("with a damaged state the stack was changed")
		}
	})
}

func TestSecrets(t *testing.T) {
	b := newBench(t)
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	var sealed bytes.Buffer
	w, err := age.Encrypt(&sealed, id.Recipient())
	if err != nil {
		t.Fatal(err)
	}
	w.Write([]byte("sealed value\n"))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]struct {
		text string
		mode os.FileMode
	}{
		"plain": {"plain value\r\n", 0o600}, "open": {"for all to read", 0o644}, "long": {strings.Repeat("x", maxSecret+1), 0o600},
		"sealed": {sealed.String(), 0o600}, "key": {id.String() + "\n", 0o600}, "nokey": {"hunter2 hunter2\n", 0o600},
	} {
		if err := os.WriteFile(filepath.Join(b.Secrets.Base, name), []byte(f.text), f.mode); err != nil {
			t.Fatal(err)
		}
	}
	d, _ := b.State.Directory("demo")
	if err := os.MkdirAll(d.Path(), 0o700); err != nil {
		t.Fatal(err)
	}
	v, err := d.OpenVault()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		s    stack.Secret
		want string
		err  string
	}{
		{stack.Secret{Env: "API_KEY"}, "key of API_KEY", ""},
		{stack.Secret{Env: "NONE"}, "", "NONE of the environment is not set"},
		{stack.Secret{File: "plain"}, "plain value", ""},
		{stack.Secret{File: "open"}, "", "others may read it (mode 0644)"},
		{stack.Secret{File: "long"}, "", "are more than"},
		{stack.Secret{File: "none"}, "", "no such file"},
		{stack.Secret{File: "sealed", Identity: "key"}, "sealed value", ""},
		{stack.Secret{File: "sealed", Identity: "nokey"}, "", "no age identities"},
		{stack.Secret{}, "", "nothing says"},
	} {
		c.s.Name = "x"
		got, err := b.Secrets.Value(c.s, v)
		if got != c.want || (err == nil) != (c.err == "") || err != nil && (!strings.Contains(err.Error(), c.err) || strings.Contains(err.Error(), "hunter2")) {
			t.Errorf("secret(%+v) = %q, %v, want %q, %q", c.s, got, err, c.want, c.err)
		}
	}
	one, err := b.Secrets.Value(stack.Secret{Name: "g", Generate: 40}, v)
	if err != nil || len(one) != 40 {
		t.Fatalf("generated is %q, %v", one, err)
	}
	v, err = d.OpenVault()
	if err != nil {
		t.Fatal(err)
	}
	if two, err := b.Secrets.Value(stack.Secret{Name: "g", Generate: 40}, v); err != nil || two != one {
		t.Errorf("generated again is %q, %v, want %q", two, err, one)
	}
	if err := os.WriteFile(b.State.Identity, []byte(id.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := d.OpenVault(); err == nil {
		t.Error("the vault opens with another identity")
	}
}
