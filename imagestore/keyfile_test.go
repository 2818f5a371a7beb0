package imagestore

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestMakeKey makes keys that minisign uses, and replaces none.
func TestMakeKey(t *testing.T) {
	minisign := need(t, "minisign")
	dir := t.TempDir()
	message := filepath.Join(dir, "message")
	if err := os.WriteFile(message, []byte("hello"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"open.key", "a/b.key", "plain"} {
		path := filepath.Join(dir, name)
		k, public, err := MakeKey(path, "")
		if err != nil {
			t.Fatal(err)
		}
		if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, %v, want 0600", name, st.Mode(), err)
		}
		if out, err := exec.Command(minisign, "-S", "-W", "-s", path, "-m", message).CombinedOutput(); err != nil {
			t.Errorf("minisign does not sign with %s: %v\n%s", name, err, out)
		}
		if out, err := exec.Command(minisign, "-V", "-p", public, "-m", message).CombinedOutput(); err != nil {
			t.Errorf("minisign does not verify with %s: %v\n%s", public, err, out)
		}
		got, err := ReadKey(path, nil)
		if err != nil || got.Public() != k.Public() {
			t.Errorf("ReadKey(%s) = %v", name, err)
		}
		before, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = MakeKey(path, "")
		if !errors.Is(err, fs.ErrExist) {
			t.Errorf("MakeKey over a key = %v", err)
		}
		if err := os.Remove(public); err != nil {
			t.Fatal(err)
		}
		if _, _, err = MakeKey(path, ""); !errors.Is(err, fs.ErrExist) {
			t.Errorf("MakeKey over a secret key = %v", err)
		}
		if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
			t.Errorf("%s was changed, %v", name, err)
		}
	}
	if _, _, err := MakeKey(filepath.Join(dir, "x.pub"), ""); err == nil {
		t.Error("MakeKey of a secret key that is called .pub gave no error")
	}
}
