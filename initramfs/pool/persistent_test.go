package pool

import (
	"os"
	"path/filepath"
	"testing"
)

// The folder is made once, and a symlink in its place leads nowhere else.
func TestPersistent(t *testing.T) {
	top := t.TempDir()
	if dir, err := Persistent(top); err == nil {
		dir.Close()
		t.Error("a pool without @persistent has the folder")
	}
	if err := os.Mkdir(filepath.Join(top, "@persistent"), 0o755); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		dir, err := Persistent(top)
		if err != nil {
			t.Fatal(err)
		}
		if want := filepath.Join(top, "@persistent/griddle"); dir.Name() != want {
			t.Errorf("the folder is %s, want %s", dir.Name(), want)
		}
		if err := dir.WriteFile("a", nil, 0o600); err != nil {
			t.Error(err)
		}
		dir.Close()
	}
	other, at := t.TempDir(), filepath.Join(top, "@persistent/griddle")
	if err := os.RemoveAll(at); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(other, at); err != nil {
		t.Fatal(err)
	}
	if dir, err := Persistent(top); err == nil {
		_ = dir.WriteFile("a", nil, 0o600)
		dir.Close()
	}
	if left, err := os.ReadDir(other); err != nil || len(left) > 0 {
		t.Errorf("outside the pool there is %v, %v", left, err)
	}
}
