package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestCloudScripts runs testdata/cloud/*.txtar with the commands of programCommands, each in a home of its own, and
// two more: fakecloud, and "servable DIR [WITHOUT...]", which makes a tree that servers can be made from. What a
// script's file "typed" has is standard input.
func TestCloudScripts(t *testing.T) {
	var n fakes
	commands := commandsReading(func(ts *testscript.TestScript) io.Reader {
		b, _ := os.ReadFile(ts.MkAbs("typed")) // most scripts have none
		return bytes.NewReader(b)
	})
	commands["fakecloud"] = n.command
	commands["servable"] = func(ts *testscript.TestScript, _ bool, args []string) {
		ts.Check(servable(ts.MkAbs(args[0]), args[1:]...))
	}
	testscript.Run(t, testscript.Params{Dir: "testdata/cloud", Cmds: commands, Setup: func(e *testscript.Env) error {
		e.Setenv("HOME", e.WorkDir)
		e.Setenv("XDG_STATE_HOME", "")
		e.Values["newcloud"] = func() *fakeCloud {
			f := newFakeCloud(e.T().(testing.TB), &n, e.WorkDir, filepath.Join(e.WorkDir, ".local/state/griddle/cloud"))
			e.Values["fakecloud"] = f
			return f
		}
		return nil
	}})
}
