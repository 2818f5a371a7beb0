package pool

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestSystem(t *testing.T) {
	p, dev := installed(t)
	p.place.Pool = dev
	for _, dir := range []string{"home", "persistent"} {
		if err := os.Mkdir(filepath.Join(p.dir, "@roots/two@amd64", dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s, err := p.System("two@amd64")
	if err != nil {
		t.Fatal(err)
	}
	if s.Hostname() != "two" {
		t.Errorf("the hostname is %q", s.Hostname())
	}
	for name, want := range map[string]string{"home/ada/notes": "hers", "persistent/griddle/seen": "7",
		"var/log/x": "y"} {
		if b, err := os.ReadFile(filepath.Join(s.Dir, name)); string(b) != want || err != nil {
			t.Errorf("%s = %q, %v, want %q", name, b, err, want)
		}
	}
	if err := p.DeleteRoot("two@amd64"); !errors.Is(err, ErrRefused) {
		t.Errorf("a root that is entered was deleted: %v", err)
	}
	put(t, s.Dir, map[string]string{"home/ada/new": "n"})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(s.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is still there: %v", err)
	}
	if b, _ := os.ReadFile(p.dir + "/@home/ada/new"); string(b) != "n" {
		t.Error("what was written is lost")
	}
	if err := p.DeleteRoot("two@amd64"); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"three", "../@home"} {
		if s, err := p.System(name); !errors.Is(err, ErrUnknown) {
			t.Errorf("System(%s) = %v, %v", name, s, err)
		}
	}
}

// A root whose /home is a symlink is not entered: its home would hide what it leads to.
func TestHostileSystem(t *testing.T) {
	p, dev := installed(t)
	p.place.Pool = dev
	if err := os.Symlink("/etc", filepath.Join(p.dir, "@roots/two@amd64/home")); err != nil {
		t.Fatal(err)
	}
	if s, err := p.System("two@amd64"); err == nil {
		t.Errorf("System = %+v", s)
	}
	if left, _ := filepath.Glob("/run/griddle-root-*"); len(left) > 0 {
		t.Errorf("left are %v", left)
	}
}
