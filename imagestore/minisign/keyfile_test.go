package minisign

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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

// TestReadKeyMode refuses the file of a secret key that others could read or write.
func TestReadKeyMode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.key")
	if _, _, err := MakeKey(path, ""); err != nil {
		t.Fatal(err)
	}
	for mode, ok := range map[os.FileMode]bool{0o600: true, 0o400: true, 0o700: true, 0o640: false, 0o604: false,
		0o620: false, 0o644: false, 0o666: false} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, err := ReadKey(path, nil)
		if (err == nil) != ok || !ok &&
			(!errors.Is(err, ErrExposed) || !strings.Contains(err.Error(), "chmod 600 "+path)) {
			t.Errorf("ReadKey of a file with mode %04o = %v", mode, err)
		}
	}
	large := filepath.Join(t.TempDir(), "large")
	if err := os.WriteFile(large, make([]byte, maxKeyFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadKey(large, nil); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("ReadKey of a large file = %v", err)
	}
}
