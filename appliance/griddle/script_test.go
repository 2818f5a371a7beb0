package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"griddle/appliance/griddle/cli"
)

// TestMain makes this test binary the program too: scripts that need a process of its own, in a network namespace or
// to be killed, run it by the name griddle-process.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "griddle" { // a copy, in the sandbox of the documents
		main()
		return
	}
	testscript.Main(m, map[string]func(){"griddle-process": main})
}

// programCommands are the script commands griddle ARGS, which is the program in this process, and status CODE, which
// checks how the last one ended.
func programCommands() map[string]func(*testscript.TestScript, bool, []string) {
	return commandsReading(func(*testscript.TestScript) io.Reader { return nothing{} })
}

// commandsReading is programCommands with another standard input.
func commandsReading(stdin func(*testscript.TestScript) io.Reader) map[string]func(*testscript.TestScript, bool,
	[]string) {
	return map[string]func(*testscript.TestScript, bool, []string){
		"griddle": func(ts *testscript.TestScript, neg bool, args []string) {
			e := &cli.Env{Stdin: stdin(ts), Stdout: ts.Stdout(), Stderr: ts.Stderr(), Getenv: ts.Getenv}
			root := rootCommand(e)
			root.SetArgs(args)
			code := e.Exit(root.ExecuteContext(context.Background()))
			ts.Setenv("STATUS", strconv.Itoa(code))
			if neg != (code != cli.ExitDone) {
				ts.Fatalf("griddle ended with %d", code)
			}
		},
		"status": func(ts *testscript.TestScript, _ bool, args []string) {
			if got := ts.Getenv("STATUS"); len(args) != 1 || got != args[0] {
				ts.Fatalf("the exit code is %s, want %v", got, args)
			}
		},
	}
}

// TestSettingsScripts runs testdata/settings/*.txtar with the commands of programCommands.
func TestSettingsScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata/settings", Cmds: programCommands()})
}

// TestRuleScripts runs testdata/rule/*.txtar with the commands of programCommands.
func TestRuleScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata/rule", Cmds: programCommands()})
}

// TestConfigScripts runs testdata/config/*.txtar with the commands of programCommands.
func TestConfigScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata/config", Cmds: programCommands()})
}
