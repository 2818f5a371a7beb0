package main

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// The command lines that docs/INSTALLED.md shows, and those that are refused.
func TestReadMirror(t *testing.T) {
	text, err := os.ReadFile("../../docs/INSTALLED.md")
	if err != nil {
		t.Fatal(err)
	}
	var shown []mirrorLine
	for line := range strings.Lines(string(text)) {
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), "griddle-agent mirror")
		if !ok {
			continue
		}
		l, err := readMirror(strings.Fields(rest))
		if err != nil {
			t.Errorf("%s: %v", line, err)
		}
		shown = append(shown, l)
	}
	if want := []mirrorLine{{}, {disk: "/dev/sdb", erase: true}, {repair: true}}; !slices.Equal(shown, want) {
		t.Errorf("the document shows %+v, want %+v", shown, want)
	}
	for _, line := range []string{"--erase", "a b", "a --repair", "--repair --erase", "--all"} {
		if l, err := readMirror(strings.Fields(line)); err == nil {
			t.Errorf("%s is %+v", line, l)
		}
	}
	if l, err := readMirror([]string{"--erase", "S1"}); err != nil || l != (mirrorLine{disk: "S1", erase: true}) {
		t.Errorf("flags first: %+v, %v", l, err)
	}
}
