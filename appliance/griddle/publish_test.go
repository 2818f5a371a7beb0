package main

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"griddle/imagestore"
	"griddle/imagestore/source"
	"griddle/imagestore/source/sourcetest"
)

// TestImageScripts runs testdata/image/*.txtar. A script has an empty btrfs at $BTRFS, and a server's store
// behind $SERVER with $TOKEN and $CA. Beside testscript's own commands there are: griddle ARGS, which is the program, in this
// process, and reads FILE where the first of ARGS is <FILE; status CODE, which checks how the last one ended.
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
				if name, ok := strings.CutPrefix(args[0], "<"); ok {
					f, err := os.Open(ts.MkAbs(name))
					ts.Check(err)
					defer f.Close()
					e.stdin, args = f, args[1:]
				}
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

// TestRateIsNotNegative begins a progress again, as a copy does whose source changed.
func TestRateIsNotNegative(t *testing.T) {
	at := time.Unix(1e9, 0)
	m := meter{what: "copying", samples: []sample{{at, 0}}}
	for i, done := range []int64{1 << 30, 3 << 30, 0, 10, 1 << 20, 5, 6} {
		m.add(at.Add(time.Duration(i+1)*time.Second), done, 4<<30)
		if r := m.rate(); r < 0 || strings.Contains(m.words()+m.bar(), "-1") || strings.Contains(m.words(), "/s, -") {
			t.Errorf("after %d bytes the rate is %f: %s", done, r, m.words())
		}
	}
}

// TestRoomHint says of each full disk which one it is.
func TestRoomHint(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{fmt.Errorf("putting blob: %w", syscall.ENOSPC), "The disk of the store /srv/store is full"},
		{fmt.Errorf("copying: %w", &source.RoomError{Dir: "/var/tmp/spool", Spool: true}), "TMPDIR"},
		{&source.RoomError{Dir: "/var/lib/lxc/.griddle"}, "/var/lib/lxc/.griddle, on the disk of the source"},
	} {
		if hint := hintOf(publishHint(c.err, "/srv/store")); !strings.Contains(hint, c.want) {
			t.Errorf("the hint is %q, want %q in it", hint, c.want)
		}
	}
}

// TestEndSignals tells which command a closed terminal ends.
func TestEndSignals(t *testing.T) {
	for _, c := range []struct {
		args    []string
		ignored bool
		want    bool
	}{
		{[]string{"publish", "lxc:web", "web"}, false, true},
		{[]string{"image", "pull"}, false, true},
		{[]string{"publish"}, true, false},
		{[]string{"serve"}, false, false},
	} {
		if got := slices.Contains(endSignals(c.args, c.ignored), os.Signal(syscall.SIGHUP)); got != c.want {
			t.Errorf("endSignals(%v, %v) has SIGHUP: %v, want %v", c.args, c.ignored, got, c.want)
		}
	}
}
