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

// exampleDisks are the machines that the examples of docs/LAYOUT.md are for, in testdata/layout/disks; the others are
// for one with Windows.
var exampleDisks = map[string]string{"mbr.yaml": "blank.json", "free-space.yaml": "free-space.json",
	"partition.yaml": "partition.json", "keep-pool.yaml": "keep-pool.json", "two-disks.yaml": "two-disks.json",
	"arrays.yaml": "two-disks.json", "encrypted-pool.yaml": "blank.json", "mirror.yaml": "mirror.json"}

// TestLayoutDocument runs every example of docs/LAYOUT.md through `griddle layout check` and `griddle layout plan`. A
// block of text after an example is what check prints, and a block "text plan" what plan prints.
func TestLayoutDocument(t *testing.T) {
	const document = "../../docs/LAYOUT.md"
	b, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	lines := strings.Split(string(b), "\n")
	var written []string
	last, examples := map[string]string{}, 0
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
			disks := exampleDisks[name]
			if disks == "" {
				disks = "windows.json"
			}
			plan, stderr, code := inProcess(t, "layout", "plan", file, "--disks", "testdata/layout/disks/"+disks)
			if code != cli.ExitDone {
				t.Errorf("%s:%d: %s", document, at+2, stderr)
			}
			last = map[string]string{"text": strings.TrimSpace(stdout), "text plan": strings.TrimSpace(plan)}
			examples++
		case "text", "text plan":
			if got := strings.Join(block, "\n"); got != last[kind] && !*updateLayout {
				t.Errorf("%s:%d: the example gives\n%s", document, at+2, last[kind])
			}
			block = strings.Split(last[kind], "\n")
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
