package main

import (
	"context"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"griddle/appliance/griddle/cli"
	"griddle/imagestore"
	"griddle/imagestore/source/sourcetest"
)

// TestImageScripts runs testdata/image/*.txtar. A script has an empty btrfs at $BTRFS, and a server's store behind
// $SERVER with $TOKEN and $CA. Beside testscript's own commands there are: griddle ARGS, which is the program, in
// this process, and reads FILE where the first of ARGS is <FILE; status CODE, which checks how the last one ended.
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
				e := &cli.Env{Stdin: nothing{}, Stdout: ts.Stdout(), Stderr: ts.Stderr(), Getenv: ts.Getenv}
				if name, ok := strings.CutPrefix(args[0], "<"); ok {
					f, err := os.Open(ts.MkAbs(name))
					ts.Check(err)
					defer f.Close()
					e.Stdin, args = f, args[1:]
				}
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
		},
	})
}

// nothing is a standard input at its end.
type nothing struct{}

func (nothing) Read([]byte) (int, error) { return 0, errors.New("there is no more input") }

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
