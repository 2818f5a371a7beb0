package bless

import (
	"os"
	"path/filepath"
	"testing"
)

// Whatever is in the file of a trial, only what it says of this root counts.
func FuzzTrial(f *testing.F) {
	f.Add([]byte(`{"root":"web","checks":[]}`))
	f.Add([]byte(`{"root":"other"}`))
	f.Add([]byte("{"))
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, TrialFile), b, 0o600); err != nil {
			t.Fatal(err)
		}
		root, err := os.OpenRoot(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		if got, err := readTrial(root, "web"); got.Root != "" && (err != nil || got.Root != "web") {
			t.Errorf("%q is the trial %+v, %v", b, got, err)
		}
	})
}
