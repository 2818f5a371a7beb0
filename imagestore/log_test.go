package imagestore_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"griddle/imagestore"
	"griddle/imagestore/imagetest"
)

func TestLogDamage(t *testing.T) {
	f := newFixture(t)
	f.publish("web:1@amd64", way{"", imagetest.Bytes(1, 1000)})
	f.publish("web:2@amd64", way{"", imagetest.Bytes(2, 1000)})
	path := filepath.Join(f.dir, "catalog")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(good), "\n")
	for name, c := range map[string]struct{ text, words string }{
		"a changed byte":   {strings.Replace(string(good), "web:1", "web:7", 1), "entry 2 is damaged"},
		"a missing line":   {lines[0] + lines[2], "entry 3 is where 2 should be"},
		"a doubled line":   {lines[0] + lines[1] + lines[1], "entry 2 is where 3 should be"},
		"a merged newline": {strings.Replace(string(good), "\n", " ", 1), "entry 1 is damaged"},
	} {
		if err := os.WriteFile(path, []byte(c.text), 0o644); err != nil {
			t.Fatal(err)
		}
		s, err := imagestore.Open(f.dir)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.List(t.Context()); err == nil || !strings.Contains(err.Error(), c.words) {
			t.Errorf("List with %s = %v, want an error with %q", name, err, c.words)
		}
		if err := s.TrustKey(t.Context(), imagetest.NewKey(t).Public()); err == nil {
			t.Errorf("with %s the catalog was changed", name)
		}
	}
}
