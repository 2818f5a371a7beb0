package main

import (
	"io"
	"slices"
	"strings"
	"testing"
)

func TestFigures(t *testing.T) {
	const said = `=== RUN   TestRoom
    room_test.go:80: figure: bios: agent 29.3 s
    e2etest.go:74: bios is on
--- PASS: TestRoom (480.00s)
BenchmarkReceive/ours-2         	       3	 401230000 ns/op
ok  	griddle/imagestore	3.1s
`
	got, err := figures(strings.NewReader(said), io.Discard)
	want := []string{"bios: agent 29.3 s", "BenchmarkReceive/ours-2         \t       3\t 401230000 ns/op",
		"ok  \tgriddle/imagestore\t3.1s"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("figures = %q, %v, want %q", got, err, want)
	}
}
