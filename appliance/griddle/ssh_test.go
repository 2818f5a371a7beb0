package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestSSHScripts runs testdata/ssh/*.txtar, with an sshd of its own at $SSHD: host and user keys are made for it, and
// GRIDDLE_SSH knows both. The program is griddle-process there, by the name griddle.
func TestSSHScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:   "testdata/ssh",
		Setup: func(e *testscript.Env) error { return startSSHD(t, e) },
		Cmds:  programCommands(),
	})
}

func startSSHD(t *testing.T, e *testscript.Env) error {
	sshd := "/usr/sbin/sshd" // it wants to be called by its whole path
	for _, p := range []string{sshd, "ssh", "ssh-keygen"} {
		if _, err := exec.LookPath(p); err != nil {
			return fmt.Errorf("%s is not installed: run make deps", p)
		}
	}
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	for _, k := range []string{"host", "user"} {
		if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f",
			file(k)).CombinedOutput(); err != nil {
			return fmt.Errorf("making a key: %w: %s", err, out)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return err
	}
	l.Close() // for sshd, which cannot be handed a socket
	if err := os.MkdirAll(file("bin"), 0o755); err != nil {
		return err
	}
	program := fmt.Sprintf("#!/bin/sh\nPATH='%s'\nexport PATH\nHOME='%s' exec griddle-process "+
		"\"$@\"\n", e.Getenv("PATH"), e.WorkDir)
	if err := os.WriteFile(file("bin/griddle"), []byte(program), 0o755); err != nil {
		return err
	}
	config := fmt.Sprintf("ListenAddress 127.0.0.1\nPort %s\nHostKey %s\nAuthorizedKeysFile %s\nPidFile "+
		"none\nUsePAM no\nStrictModes no\n"+
		"PermitRootLogin yes\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nSetEnv "+
		"PATH=%s:/usr/bin:/bin\n",
		port, file("host"), file("user.pub"), file("bin"))
	if err := os.WriteFile(file("config"), []byte(config), 0o600); err != nil {
		return err
	}
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
		return err
	}
	cmd := exec.Command(sshd, "-D", "-e", "-f", file("config"))
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	e.Defer(func() { cmd.Process.Kill(); cmd.Wait() })
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		if !strings.Contains(lines.Text(), "Server listening") {
			continue
		}
		go func() {
			for lines.Scan() { // so that it never waits for a reader
			}
		}()
		e.Setenv("SSHD", "127.0.0.1:"+port)
		e.Setenv("HOME", filepath.Join(e.WorkDir, "home"))
		e.Setenv("GRIDDLE_SSH", fmt.Sprintf("ssh -T -F none -i %s -o StrictHostKeyChecking=accept-new -o "+
			"UserKnownHostsFile=%s -o IdentitiesOnly=yes", file("user"), file("known")))
		return nil
	}
	return fmt.Errorf("sshd does not listen: %s", lines.Text())
}
