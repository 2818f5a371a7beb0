package main

import (
	"context"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"griddle/imagestore"
	"griddle/imagestore/source/sourcetest"
)

// TestImageScripts runs testdata/image/*.txtar. A script has an empty btrfs at $BTRFS, and a server's store
// behind $SERVER with $TOKEN and $CA. Beside testscript's own commands there are: griddle ARGS, which is the program, in this
// process; status CODE, which checks how the last one ended.
func TestImageScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/image",
		Setup: func(e *testscript.Env) error {
			e.Setenv("BTRFS", sourcetest.Btrfs(t))
			e.Setenv("HOME", filepath.Join(e.WorkDir, "home"))
			e.Setenv("LANG", "C")
			return serveStore(t, e)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"griddle": func(ts *testscript.TestScript, neg bool, args []string) {
				e := &env{stdin: nothing{}, stdout: ts.Stdout(), stderr: ts.Stderr(), getenv: ts.Getenv}
				root := rootCommand(e)
				root.SetArgs(args)
				code := e.exit(root.ExecuteContext(context.Background()))
				ts.Setenv("STATUS", strconv.Itoa(code))
				if neg != (code != exitDone) {
					ts.Fatalf("griddle ended with %d", code)
				}
			},
			"status": func(ts *testscript.TestScript, _ bool, args []string) {
				if got := ts.Getenv("STATUS"); len(args) != 1 || got != args[0] {
					ts.Fatalf("the exit code is %s, want %v", got, args)
				}
			},
		},
	})
}

// nothing is a standard input at its end.
type nothing struct{}

func (nothing) Read([]byte) (int, error) { return 0, errors.New("nobody is there to be asked") }

// serveStore puts a store behind TLS.
func serveStore(t *testing.T, e *testscript.Env) error {
	st, err := imagestore.Open(filepath.Join(e.WorkDir, "served"))
	if err != nil {
		return err
	}
	srv := serveTLS(t, st)
	token, ca := filepath.Join(e.WorkDir, "token"), filepath.Join(e.WorkDir, "ca.pem")
	if err := os.WriteFile(token, []byte("secret\n"), 0o600); err != nil {
		return err
	}
	b := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
	if err := os.WriteFile(ca, b, 0o644); err != nil {
		return err
	}
	e.Setenv("SERVER", srv.URL)
	e.Setenv("TOKEN", token)
	e.Setenv("CA", ca)
	return nil
}
