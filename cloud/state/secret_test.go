package state

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"

	"griddle/cloud/stack"
)

func TestSecrets(t *testing.T) {
	dir := t.TempDir()
	kept := Stacks{Dir: filepath.Join(dir, "stacks"), Identity: filepath.Join(dir, "identity")}
	secrets := Secrets{Base: dir, Env: func(name string) (string, bool) { return "key of " + name, name == "API_KEY" }}
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
		"plain": {"plain value\r\n", 0o600}, "open": {"for all to read", 0o644},
		"long": {strings.Repeat("x", maxSecret+1), 0o600}, "sealed": {sealed.String(), 0o600},
		"key": {id.String() + "\n", 0o600}, "nokey": {"hunter2 hunter2\n", 0o600},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(f.text), f.mode); err != nil {
			t.Fatal(err)
		}
	}
	d, _ := kept.Directory("demo")
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
		{stack.Secret{File: "sealed", Identity: "nokey"}, "", "not age identities"},
		{stack.Secret{}, "", "nothing says"},
	} {
		c.s.Name = "x"
		got, err := secrets.Value(c.s, v)
		if got != c.want || (err == nil) != (c.err == "") ||
			err != nil && (!strings.Contains(err.Error(), c.err) || strings.Contains(err.Error(), "hunter2")) {
			t.Errorf("secret(%+v) = %q, %v, want %q, %q", c.s, got, err, c.want, c.err)
		}
	}
	one, err := secrets.Value(stack.Secret{Name: "g", Generate: 40}, v)
	if err != nil || len(one) != 40 {
		t.Fatalf("generated is %q, %v", one, err)
	}
	v, err = d.OpenVault()
	if err != nil {
		t.Fatal(err)
	}
	if two, err := secrets.Value(stack.Secret{Name: "g", Generate: 40}, v); err != nil || two != one {
		t.Errorf("generated again is %q, %v, want %q", two, err, one)
	}
	if err := os.WriteFile(kept.Identity, []byte(id.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := d.OpenVault(); err == nil {
		t.Error("the vault opens with another identity")
	}
}
