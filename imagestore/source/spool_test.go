package source

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestCollectSpool clears away the copy that a dead publisher left, and leaves alone that of a living
// one and what is no copy.
func TestCollectSpool(t *testing.T) {
	spool, tree := filepath.Join(t.TempDir(), "spool"), t.TempDir()
	s, err := Find(t.Context(), "dir:"+tree, Options{Spool: spool})
	if err != nil {
		t.Fatal(err)
	}
	living, err := s.Take(t.Context(), "living@1@amd64", func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	defer living.Discard()
	dead := filepath.Join(spool, "dead@1@amd64")
	other := filepath.Join(spool, "notes")
	if err := errors.Join(os.MkdirAll(filepath.Join(dead, "etc"), 0o755), os.WriteFile(dead+publishing, nil, 0o600),
		os.WriteFile(other, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := CollectSpool(t.Context(), spool); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{dead: false, dead + publishing: false, living.Dir: true, other: true} {
		if exists(path) != want {
			t.Errorf("%s is there: %v, want %v", path, !want, want)
		}
	}
	if err := CollectSpool(t.Context(), filepath.Join(tree, "none")); err != nil ||
		exists(filepath.Join(tree, "none")) {
		t.Errorf("without a spool: %v", err)
	}
}
