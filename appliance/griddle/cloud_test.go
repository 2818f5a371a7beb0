package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestCloudScripts runs testdata/cloud/*.txtar with the commands of programCommands, each in a home of its own.
func TestCloudScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata/cloud", Cmds: programCommands(), Setup: func(e *testscript.Env) error {
		e.Setenv("HOME", e.WorkDir)
		e.Setenv("XDG_STATE_HOME", "")
		return nil
	}})
}
