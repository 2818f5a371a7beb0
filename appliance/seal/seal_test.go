package seal

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"griddle/imagestore/durable"
)

func TestSealAndOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "some.key")
	k := In(durable.Disk{}, path, "what it is for")
	if _, err := k.Open([]byte("x")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open() without a key = %v, want fs.ErrNotExist", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open() made a key: %v", err)
	}
	sealed, err := k.Seal([]byte("hunter2"))
	if err != nil || bytes.Contains(sealed, []byte("hunter2")) {
		t.Fatalf("Seal() = %q, %v", sealed, err)
	}
	b, err := os.ReadFile(path)
	if st, serr := os.Stat(path); err != nil || serr != nil || st.Mode().Perm() != 0o600 ||
		!strings.HasPrefix(string(b), "# what it is for\nAGE-SECRET-KEY-1") {
		t.Errorf("the file has %q, mode %v, %v, %v", b, st.Mode(), err, serr)
	}
	if got, err := In(durable.Disk{}, path, "").Open(sealed); err != nil || string(got) != "hunter2" {
		t.Errorf("Open() = %q, %v", got, err)
	}
	if _, err := k.Open(sealed[:len(sealed)-1]); err == nil {
		t.Error("Open() takes what was cut")
	}
	other := In(durable.Disk{}, filepath.Join(t.TempDir(), "other.key"), "x")
	if err := other.Make(); err != nil {
		t.Fatal(err)
	}
	if got, err := other.Open(sealed); err == nil || len(got) > 0 {
		t.Errorf("Open() with another key = %q, %v", got, err)
	}
}

// TestOneKey: those who make the key at once get the same one.
func TestOneKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "some.key")
	var all sync.WaitGroup
	sealed := make([][]byte, 8)
	for i := range sealed {
		all.Go(func() {
			var err error
			if sealed[i], err = In(durable.Disk{}, path, "x").Seal([]byte("hunter2")); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for _, s := range sealed {
		if got, err := In(durable.Disk{}, path, "x").Open(s); err != nil || string(got) != "hunter2" {
			t.Errorf("Open() = %q, %v", got, err)
		}
	}
}

// TestBadKeys has files that are refused, and that are not repeated in the error.
func TestBadKeys(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		mode os.FileMode
		want string
	}{
		"open":     {"hunter2", 0o644, "others may read it (mode 0644): chmod 600 it"},
		"no key":   {"hunter2\n", 0o600, "this is not an age identity"},
		"empty":    {"# a comment\n", 0o600, "it has no age identity"},
		"too long": {strings.Repeat("x", MaxFile+1), 0o600, "are more than"},
	} {
		path := filepath.Join(t.TempDir(), "some.key")
		if err := os.WriteFile(path, []byte(c.text), c.mode); err != nil {
			t.Fatal(err)
		}
		_, err := In(durable.Disk{}, path, "x").Seal(nil)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: Seal() = %v, want %q", name, err, c.want)
		}
	}
}
