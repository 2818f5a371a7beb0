package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/creack/pty"

	"griddle/appliance/griddle/cli"
)

// onTerminal runs the program with a terminal as standard output and error, and returns what it wrote there.
func onTerminal(t *testing.T, vars map[string]string, args ...string) string {
	t.Helper()
	screen, terminal, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer screen.Close()
	got := make(chan string)
	go func() {
		var b bytes.Buffer
		_, _ = io.Copy(&b, screen) // ends with an error when the last writer closes
		got <- b.String()
	}()
	e := &cli.Env{Stdin: nothing{}, Stdout: terminal, Stderr: terminal,
		Getenv: func(k string) string { return vars[k] }}
	root := rootCommand(e)
	root.SetArgs(args)
	e.Exit(root.ExecuteContext(context.Background()))
	terminal.Close()
	return <-got
}

// TestColors has colors on a terminal alone, and never where the user does not want them.
func TestColors(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		name string
		vars map[string]string
		args []string
		want bool
	}{
		{"terminal", nil, nil, true},
		{"NO_COLOR", map[string]string{"NO_COLOR": "1"}, nil, false},
		{"TERM", map[string]string{"TERM": "dumb"}, nil, false},
		{"flag", nil, []string{"--no-color"}, false},
		{"json", nil, []string{"-o", "json"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			out := onTerminal(t, c.vars, append([]string{"image", "list", "--store", dir + "/none"}, c.args...)...)
			if !strings.Contains(out, "there is no store in") {
				t.Errorf("it wrote %q", out)
			}
			if got := strings.Contains(out, "\x1b["); got != c.want {
				t.Errorf("colors: %v, want %v: %q", got, c.want, out)
			}
		})
	}
	var plain bytes.Buffer
	e := &cli.Env{Stdin: nothing{}, Stdout: &plain, Stderr: &plain, Getenv: func(string) string { return "" }}
	if e.Colors(&plain) || !e.ForPeople() {
		t.Error("colors in a file")
	}
}

// TestManPages writes one for each command, and the same again.
func TestManPages(t *testing.T) {
	read := func() map[string]string {
		dir := t.TempDir()
		var out bytes.Buffer
		e := &cli.Env{Stdin: nothing{}, Stdout: &out, Stderr: &out, Getenv: func(string) string { return "" }}
		root := rootCommand(e)
		root.SetArgs([]string{"docs", "man", dir})
		if code := e.Exit(root.ExecuteContext(t.Context())); code != 0 {
			t.Fatalf("griddle docs man ended with %d: %s", code, &out)
		}
		files, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		all := map[string]string{}
		for _, f := range files {
			b, err := os.ReadFile(dir + "/" + f.Name())
			if err != nil {
				t.Fatal(err)
			}
			all[f.Name()] = string(b)
		}
		return all
	}
	pages := read()
	again := read()
	for name, text := range pages {
		if again[name] != text {
			t.Errorf("%s is different the second time", name)
		}
	}
	list := pages["griddle-image-list.1"]
	for _, want := range []string{"griddle-image-list - List images", ".SH EXAMPLE", "--columns", "--output"} {
		if !strings.Contains(strings.ReplaceAll(list, `\-`, "-"), want) {
			t.Errorf("griddle-image-list.1 has no %q:\n%s", want, list)
		}
	}
}
