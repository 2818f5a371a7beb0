package cloud

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"griddle/cloud/plan/plantest"
	"griddle/cloud/state"
)

// TestState has a golden of the file, which others' griddle must be able to read.
func TestState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		s := plantest.Demo()
		s.Settings.Parallel = 1
		b.up(t, s)
		text, err := os.ReadFile(filepath.Join(b.files, "state.json"))
		if err != nil {
			t.Fatal(err)
		}
		state, err := state.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := state.Encode(); err != nil || !bytes.Equal(again, text) {
			t.Errorf("encoded again it is\n%s, %v, want\n%s", again, err, text)
		}
		for _, v := range state.Servers { // a secret is in the user-data, and its digest in the fingerprint
			v.Origin.Want = ""
		}
		text, _ = state.Encode()
		golden(t, "state.json", string(text))
	})
}

func TestDamagedState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.up(t, plantest.Demo())
		path := filepath.Join(b.files, "state.json")
		if err := os.Truncate(path, 100); err != nil {
			t.Fatal(err)
		}
		before := standing(b.m)
		if _, err := b.Up(t.Context(), plantest.Demo(), Options{}); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("Up = %v, want one that names %s", err, path)
		}
		if standing(b.m) != before {
			t.Error("with a damaged state the stack was changed")
		}
	})
}
