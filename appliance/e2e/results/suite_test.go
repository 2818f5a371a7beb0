package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A suite of which one test fails goes on with that one alone, also after its process was killed, and its figures are
// those of both runs.
func TestSuiteGoesOn(t *testing.T) {
	built, err := exec.Command("go", "env", "GOCACHE").Output() // it is below XDG_CACHE_HOME else, and cold
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOCACHE", strings.TrimSpace(string(built)))
	t.Setenv("XDG_CACHE_HOME", filepath.Join(t.TempDir(), "cache"))
	dir := t.TempDir()
	for name, content := range map[string]string{
		"go.mod": "module m\n\ngo 1.26\n",
		"a/a_test.go": `package a
import ("os"; "testing")
func TestGood(t *testing.T) { t.Log("figure: good 1 s") }
func TestGroup(t *testing.T) {
	t.Run("one", func(t *testing.T) { t.Log("figure: one 2 s") })
	t.Run("two", func(t *testing.T) {
		if _, err := os.Stat("../mended"); err != nil { t.Fatal("figure: not mended") }
	})
}`,
		"b/b_test.go": "package b\nimport \"testing\"\nfunc TestB(t *testing.T) { t.Log(\"figure: b 3 s\") }\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	pass := func() (string, []string, error) {
		kept, err := load("make it", "0123abc")
		if err != nil {
			t.Fatal(err)
		}
		packages, err := packagesOf(t.Context(), nil, []string{"./..."})
		if err != nil || len(packages) != 2 {
			t.Fatalf("packages %q, %v", packages, err)
		}
		var out bytes.Buffer
		s := &suite{command: "make it", depth: 2, out: &out, kept: kept}
		err = s.run(t.Context(), packages)
		return out.String(), kept.Lines, err
	}
	out, _, err := pass()
	if err == nil || !strings.Contains(out, "--- FAIL: TestGroup/two") || !strings.Contains(out, "b 3 s") {
		t.Fatalf("the first run: %v\n%q", err, out)
	}
	if err := os.WriteFile("mended", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	out, lines, err := pass()
	if err != nil || !strings.Contains(out, "=== RUN   TestGroup/two") {
		t.Errorf("the second run: %v\n%s", err, out)
	}
	for _, again := range []string{"=== RUN   TestGood", "=== RUN   TestGroup/one", "=== RUN   TestB"} {
		if strings.Contains(out, again) {
			t.Errorf("the second run repeats %q", again)
		}
	}
	told := strings.Join(lines, "\n")
	for _, want := range []string{"good 1 s", "one 2 s", "b 3 s", "ok  \tm/a", "ok  \tm/b"} {
		if !strings.Contains(told, want) {
			t.Errorf("the result has no %q:\n%s", want, told)
		}
	}
	if strings.Contains(told, "FAIL") {
		t.Errorf("the result still tells what failed:\n%s", told)
	}
}

// A tree that differs from its commit keeps nothing.
func TestDirtyKeepsNothing(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	for _, commit := range []string{"", "0123abc-dirty"} {
		p, err := load("make it", commit)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.save(); err != nil {
			t.Fatal(err)
		}
	}
	if files, err := os.ReadDir(cache); err != nil || len(files) > 0 {
		t.Errorf("kept %v, %v", files, err)
	}
}
