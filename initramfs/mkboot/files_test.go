package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCached(t *testing.T) {
	b := &builder{cache: t.TempDir(), log: io.Discard}
	made := 0
	build := func(out string) func() ([]byte, error) {
		return func() ([]byte, error) { made++; return []byte(out), nil }
	}
	get := func(out string, inputs ...string) (string, error) {
		var in [][]byte
		for _, s := range inputs {
			in = append(in, []byte(s))
		}
		data, err := b.cached("x", in, build(out))
		return string(data), err
	}
	for _, c := range []struct {
		inputs []string
		out    string
		want   string
		made   int
	}{
		{[]string{"a", "b"}, "one", "one", 1},
		{[]string{"a", "b"}, "two", "one", 1},
		{[]string{"ab"}, "three", "three", 2}, // the same bytes, cut elsewhere
	} {
		got, err := get(c.out, c.inputs...)
		if err != nil || got != c.want || made != c.made {
			t.Errorf("cached(%q) = %q, %v after %d builds, want %q after %d", c.inputs, got, err, made, c.want, c.made)
		}
	}
	b.verify = true
	if _, err := get("one", "a", "b"); err != nil {
		t.Errorf("making the same again = %v", err)
	}
	if _, err := get("other", "a", "b"); err == nil || !strings.Contains(err.Error(), "not reproducible") {
		t.Errorf("making something else = %v, want an error", err)
	}
	if _, err := b.cached("x", nil, func() ([]byte, error) { return nil, errors.New("broken") }); err == nil {
		t.Error("an error of the build is lost")
	}
}

func TestReplace(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	for _, text := range []string{"old", "new"} {
		if err := replace(path, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != text {
			t.Errorf("content = %q, %v, want %q", got, err, text)
		}
	}
	if list, _ := filepath.Glob(filepath.Join(dir, ".*")); len(list) != 0 {
		t.Errorf("left behind: %v", list)
	}
}
