package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"griddle/appliance/griddle/cli"
)

var updateLayout = flag.Bool("update-layout", false, "write the results into docs/LAYOUT.md again")

// TestLayoutScripts runs testdata/layout/*.txtar with the commands of programCommands.
func TestLayoutScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata/layout", Cmds: programCommands()})
}

// inProcess runs the program, and returns what it printed and its exit code.
func inProcess(t *testing.T, args ...string) (stdout, stderr string, code int) {
	var out, errs bytes.Buffer
	e := &cli.Env{Stdin: nothing{}, Stdout: &out, Stderr: &errs, Getenv: func(string) string { return "" }}
	root := rootCommand(e)
	root.SetArgs(args)
	code = e.Exit(root.ExecuteContext(t.Context()))
	return out.String(), errs.String(), code
}

// TestLayoutDocument checks every example of docs/LAYOUT.md with `griddle layout check`. A block of text after an
// example is what that prints.
func TestLayoutDocument(t *testing.T) {
	const document = "../../docs/LAYOUT.md"
	b, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	lines := strings.Split(string(b), "\n")
	var written []string
	last, examples := "", 0
	for i := 0; i < len(lines); i++ {
		written = append(written, lines[i])
		kind, fence := strings.CutPrefix(lines[i], "```")
		if !fence {
			continue
		}
		at := i
		for i++; lines[i] != "```"; i++ {
		}
		block := lines[at+1 : i]
		switch kind {
		case "yaml":
			name, ok := strings.CutPrefix(block[0], "# ")
			if !ok {
				t.Fatalf("%s:%d: the example has no name", document, at+2)
			}
			file := filepath.Join(dir, name)
			if err := os.WriteFile(file, []byte(strings.Join(block, "\n")+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			stdout, stderr, code := inProcess(t, "layout", "check", file)
			if code != cli.ExitDone {
				t.Errorf("%s:%d: %s", document, at+2, stderr)
			}
			last = strings.TrimSpace(stdout)
			examples++
		case "text":
			if got := strings.Join(block, "\n"); got != last && !*updateLayout {
				t.Errorf("%s:%d: the example gives\n%s", document, at+2, last)
			}
			block = strings.Split(last, "\n")
		}
		written = append(append(written, block...), "```")
	}
	if examples < 8 {
		t.Errorf("%s has %d examples", document, examples)
	}
	if *updateLayout {
		if err := os.WriteFile(document, []byte(strings.Join(written, "\n")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
