//go:build cloud

package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"griddle/cloud/guesttest"
	"griddle/cloud/provider/lxd/lxdtest"
)

// stackRun is the program as a process, with a home and a store of its own.
type stackRun struct {
	t       *testing.T
	dir     string
	program string
	within  []string // a command that the program is run by
}

func newStackRun(t *testing.T, provider string, within ...string) *stackRun {
	t.Helper()
	r := &stackRun{t: t, dir: t.TempDir(), within: within}
	file := strings.Replace(demoStack, "PROVIDER", provider, 1)
	r.program = filepath.Join(r.dir, "griddle")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", r.program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := os.MkdirAll(filepath.Join(r.dir, ".ssh"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"stack.yaml": file, ".ssh/key.pub": "ssh-ed25519 " +
		"AAAAC3NzaC1lZDI1NTE5AAAAIB7RmVVqkPZ0Ph7yVqX3b6HqQ0b8n2q4Wl3eJ9sYk1Zz ops@desk\n"} {
		if err := os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func (r *stackRun) command(args ...string) *exec.Cmd {
	line := append(append(slices.Clone(r.within), r.program), args...)
	cmd := exec.CommandContext(r.t.Context(), line[0], line[1:]...)
	cmd.Dir = r.dir
	cmd.Env = append(os.Environ(), "HOME="+r.dir, "XDG_STATE_HOME=")
	return cmd
}

// run runs the program and returns its output; its exit code must be want.
func (r *stackRun) run(want int, args ...string) string {
	r.t.Helper()
	cmd := r.command(args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, io.MultiWriter(&errs, testLog{r.t})
	err := cmd.Run()
	var ended *exec.ExitError
	code := 0
	if errors.As(err, &ended) {
		code = ended.ExitCode()
	} else if err != nil {
		r.t.Fatal(err)
	}
	if code != want {
		r.t.Fatalf("griddle %s ended with %d, want "+
			"%d\n%s%s", strings.Join(args, " "), code, want, out.String(), errs.String())
	}
	return out.String()
}

type testLog struct{ t *testing.T }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Logf("%s", bytes.TrimRight(p, "\n"))
	return len(p), nil
}

// killAt runs the program until it writes a line that matches, and kills it there; false where it ended before.
func (r *stackRun) killAt(pattern string, args ...string) bool {
	r.t.Helper()
	cmd := r.command(args...)
	pipe, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		r.t.Fatal(err)
	}
	found := false
	for lines := bufio.NewScanner(pipe); lines.Scan(); {
		r.t.Log(lines.Text())
		if !found && regexp.MustCompile(pattern).MatchString(lines.Text()) {
			found = true
			r.t.Logf("killed there")
			cmd.Process.Kill()
		}
	}
	err = cmd.Wait()
	if !found && err != nil {
		r.t.Fatalf("griddle %s: %v", strings.Join(args, " "), err)
	}
	return found
}

func (r *stackRun) publish(version string) {
	r.t.Helper()
	tarball, err := guesttest.Tarball(r.t.Context(), testLog{r.t})
	if err != nil {
		r.t.Fatal(err)
	}
	r.run(0, "publish", "tar:"+tarball, "guest:"+version, "--store", "store")
	r.run(0, "image", "channel", "set", "guest:stable", version, "--store", "store")
}

// demoStack has three servers of two roles.
const demoStack = `version: 1
name: demo
provider: {PROVIDER}
admin: ops
keys: [~/.ssh/key.pub]
settings: {zone: Europe/Berlin, parallel: 2, timeouts: {server: 60m}}
secrets: {join: {generate: 24}}
defaults: {image: "guest:stable", size: small, public: true}
roles:
  head:
    ports: [8080]
    volumes: [{size: 1GiB, mount: /srv/data}]
    outputs: {token: {file: /run/token}}
    userData: [{script: "#!/bin/sh\necho ${secret.join} | sha256sum | cut -c1-16 > /run/token\n"}]
  worker:
    after: [head]
    count: 2
    uefi: true
    max: 3
    userData: [{write: {path: /etc/head, content: "${role.head.address} ${role.head.outputs.token}", expand: true}}]
`

// TestStackOnQEMU has the stack stand on QEMU.
func TestStackOnQEMU(t *testing.T) {
	r := newStackRun(t, "kind: qemu, accel: tcg")
	r.live()
	left, err := filepath.Glob(filepath.Join(r.dir, ".local/state/griddle/cloud/qemu/stacks/*/*/*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
	if out, _ := exec.Command("pgrep", "-af", r.dir).Output(); strings.Contains(string(out), "qemu-system") {
		t.Errorf("still running: %s", out)
	}
}

// TestStackOnLXD has the stack stand on a real LXD, and reaches it from outside the computer that LXD runs on.
func TestStackOnLXD(t *testing.T) {
	d := lxdtest.Start(t, nil)
	r := newStackRun(t, "kind: lxd, socket: "+d.Socket()+", pool: test, addresses: 192.0.2.16/28", "ip", "netns",
		"exec", d.Outside())
	r.live()
	for _, what := range [][]string{{"list", "-f", "csv"}, {"network", "list", "-f", "csv"}, {"network", "acl", "list",
		"-f", "csv"}, {"storage", "volume", "list", "test", "type=custom", "-f", "csv"}} {
		if out := d.Lxc(what...); strings.Contains(out, "demo") {
			t.Errorf("lxc %s: left over: %s", strings.Join(what, " "), out)
		}
	}
}

// live has the stack stand: killed at every stage and taken up again, probed, scaled, upgraded and deleted.
func (r *stackRun) live() {
	t := r.t
	store := []string{"--yes", "--store", "store", "--cache", "disks"}
	up := append([]string{"cloud", "up"}, store...)
	r.publish("1.0")
	defer func() {
		if t.Failed() { // or servers would stay
			_ = r.command("cloud", "delete", "--yes", "--force").Run()
		}
	}()

	for stage := 1; r.killAt(fmt.Sprintf(`^\[%d/\d+\] (role|[a-z])`, stage), up...); stage++ {
	}
	r.killAt(`is made`, up...) // nothing is left to make: it ends by itself
	if out := r.run(0, up...); !strings.Contains(out, "nothing to do") {
		t.Errorf("a second run: %s", out)
	}
	status := r.run(0, "cloud", "status")
	for _, name := range []string{"head-1", "worker-1", "worker-2"} {
		if !regexp.MustCompile(name + ` +[a-z]+ +ready`).MatchString(status) {
			t.Fatalf("%s is not ready:\n%s", name, status)
		}
	}

	r.run(7, "cloud", "ssh", "head-1", "exit 7")
	r.run(0, "cloud", "ssh", "head-1", "echo precious | sudo tee /srv/data/file && sync")
	token := strings.TrimSpace(r.run(0, "cloud", "ssh", "head-1", "cat /run/token"))
	if got := r.run(0, "cloud", "run", "--role", "worker", "--", "sudo cat /etc/head; echo"); strings.Count(got,
		token) != 2 || len(token) != 16 {
		t.Errorf("workers have %q, and the head's token is %q", got, token)
	}
	for _, name := range []string{"head-1", "worker-2"} {
		r.run(0, "cloud", "audit", name, "--to", "9000")
	}

	r.run(0, append([]string{"cloud", "scale", "worker", "3"}, store...)...)
	if got := r.run(0, "cloud", "run", "--all", "--", "hostname"); strings.Count(got, ": ") != 4 {
		t.Errorf("after scaling: %s", got)
	}

	before := r.run(0, "cloud", "ssh", "head-1", "sudo touch /var/old; hostname -I")
	r.publish("2.0")
	if out := r.run(0, up...); !strings.Contains(out, "nothing to do") {
		t.Errorf("a channel that moved on changed something: %s", out)
	}
	r.run(0, append([]string{"cloud", "upgrade"}, store...)...)
	if after := r.run(0, "cloud", "ssh", "head-1", "test ! -e /var/old && hostname -I"); before != after {
		t.Errorf("the head had %q, and has %q", before, after)
	}
	if got := r.run(0, "cloud", "ssh", "head-1", "cat /srv/data/file"); got != "precious\n" {
		t.Errorf("the data disk has %q", got)
	}

	r.run(0, "cloud", "delete", "--yes")
}
