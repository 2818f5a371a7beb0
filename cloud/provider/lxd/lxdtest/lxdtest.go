// Package lxdtest runs an LXD daemon for tests: its own directory, network namespace and mounts, and nothing of the
// system's LXD.
//
// Call Start. The daemon and all that it has end with the test. What a test that was killed left is taken away by the
// next Start. It needs root and Debian's packages lxd and dnsmasq-base.
//
//	test                             network namespace grlxd-PID
//	+--------+  unix socket         +------+   bridges   +------------+
//	|        |--------------------->|      |-------------| containers |
//	|        |  127.0.0.1, Forward  | lxd  |             +------------+
//	|        |--------------------->|      |  veth, Outside: 192.0.2.0/24 lead here
//	+--------+                      +------+---------------- namespace grlxo-PID
package lxdtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Names of namespaces: the prefix and the process ID of the test that made them.
const (
	inside  = "grlxd-"
	outside = "grlxo-"
)

// Daemon is a daemon that runs. Its storage pool is "test", in a directory.
type Daemon struct {
	Dir string // LXD_DIR
	t   testing.TB
	cmd *exec.Cmd
	ca  string
}

// Start starts a daemon. It trusts the certificates in ca, PEM, for images that it fetches; nil for the system's.
func Start(t testing.TB, ca []byte) *Daemon {
	t.Helper()
	for _, tool := range []string{"lxd", "lxc", "dnsmasq", "ip", "unshare"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("%s is missing: run make deps", tool)
		}
	}
	sweep(t)
	dir, err := os.MkdirTemp("/tmp", inside+strconv.Itoa(os.Getpid())+"-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	d := &Daemon{Dir: filepath.Join(dir, "lxd"), t: t}
	t.Cleanup(d.stop)
	for _, sub := range []string{"lxd", "pool", "conf"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o711); err != nil {
			t.Fatal(err)
		}
	}
	if ca != nil {
		d.ca = filepath.Join(dir, "ca.pem")
		if err := os.WriteFile(d.ca, ca, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	d.wire()
	log, err := os.Create(filepath.Join(dir, "daemon.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	d.cmd = exec.Command("ip", "netns", "exec", d.Namespace(), "unshare", "-m", "--propagation", "private", "sh", "-c",
		`mount -t cgroup2 none /sys/fs/cgroup && exec lxd --group root --logfile "$LXD_DIR/lxd.log"`)
	d.cmd.Env, d.cmd.Stdout, d.cmd.Stderr = d.env(), log, log
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	d.run("lxd", "waitready", "--timeout=120")
	d.Lxc("storage", "create", "test", "dir", "source="+filepath.Join(dir, "pool"))
	return d
}

// Namespace is the name of the daemon's network namespace.
func (d *Daemon) Namespace() string { return inside + strconv.Itoa(os.Getpid()) }

// Outside is the name of a network namespace from which 192.0.2.0/24 is reached through the daemon's. Its own
// address is 203.0.113.2.
func (d *Daemon) Outside() string { return outside + strconv.Itoa(os.Getpid()) }

// Socket is the path of the daemon's unix socket.
func (d *Daemon) Socket() string { return filepath.Join(d.Dir, "unix.socket") }

// wire makes the two namespaces.
func (d *Daemon) wire() {
	in, out := d.Namespace(), d.Outside()
	for _, line := range []string{
		"netns add " + in, "netns add " + out, "-n " + in + " link set lo up", "-n " + out + " link set lo up",
		"-n " + in + " link add up0 type veth peer name eth0 netns " + out,
		"-n " + in + " addr add 203.0.113.1/24 dev up0", "-n " + in + " link set up0 up",
		"-n " + out + " addr add 203.0.113.2/24 dev eth0", "-n " + out + " link set eth0 up",
		"-n " + out + " route add 192.0.2.0/24 via 203.0.113.1",
	} {
		d.run("ip", strings.Fields(line)...)
	}
}

// Lxc runs the stock client in the daemon's namespace, and returns what it wrote to its standard output.
func (d *Daemon) Lxc(args ...string) string {
	d.t.Helper()
	return d.run("ip", append([]string{"netns", "exec", d.Namespace(), "lxc"}, args...)...)
}

// Try is Lxc with an error for the caller.
func (d *Daemon) Try(args ...string) (string, error) {
	return d.try(3*time.Minute, "ip", append([]string{"netns", "exec", d.Namespace(), "lxc"}, args...)...)
}

// env is what the daemon and the client find each other by.
func (d *Daemon) env() []string {
	env := append(os.Environ(), "LXD_DIR="+d.Dir, "LXD_CONF="+filepath.Join(filepath.Dir(d.Dir), "conf"),
		"HOME="+filepath.Dir(d.Dir))
	if d.ca != "" {
		env = append(env, "SSL_CERT_FILE="+d.ca)
	}
	return env
}

func (d *Daemon) run(name string, args ...string) string {
	d.t.Helper()
	out, err := d.try(3*time.Minute, name, args...)
	if err != nil {
		d.t.Fatal(err)
	}
	return out
}

func (d *Daemon) try(limit time.Duration, name string, args ...string) (string, error) {
	ctx, stop := context.WithTimeout(context.Background(), limit)
	defer stop()
	cmd := exec.CommandContext(ctx, name, args...)
	var stderr bytes.Buffer
	cmd.Env, cmd.Stderr, cmd.WaitDelay = d.env(), &stderr, time.Second
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, stderr.String())
	}
	return string(out), nil
}

// stop ends the daemon and takes everything away. Where the test failed it shows the end of the daemon's log.
func (d *Daemon) stop() {
	dir := filepath.Dir(d.Dir)
	if d.t.Failed() {
		b, _ := os.ReadFile(filepath.Join(dir, "daemon.log"))
		d.t.Logf("the daemon's log ends in:\n%s", b[max(0, len(b)-4000):])
	}
	if d.cmd != nil && d.cmd.Process != nil {
		d.halt()
	}
	for _, ns := range []string{d.Namespace(), d.Outside()} {
		empty(ns)
		if out, err := exec.Command("ip", "netns", "del", ns).CombinedOutput(); err != nil {
			d.t.Logf("ip netns del %s: %v: %s", ns, err, out)
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		d.t.Logf("removing the daemon's directory: %v", err)
	}
}

// halt has the daemon stop its containers and end; what is not done in half a minute is ended by the kernel.
func (d *Daemon) halt() {
	if names, err := d.try(20*time.Second, "lxc", "list", "-f", "csv", "-c", "n"); err == nil {
		for _, name := range strings.Fields(names) {
			if _, err := d.try(30*time.Second, "lxc", "delete", "-f", name); err != nil {
				d.t.Logf("left in LXD: %v", err)
			}
		}
	}
	if _, err := d.try(30*time.Second, "lxd", "shutdown", "--timeout=20"); err != nil {
		d.t.Logf("shutting LXD down: %v", err)
		d.cmd.Process.Kill()
	}
	d.cmd.Wait()
}

// empty ends what still runs in a namespace that is ours.
func empty(ns string) {
	out, err := exec.Command("ip", "netns", "pids", ns).Output()
	if err != nil {
		return
	}
	for _, f := range strings.Fields(string(out)) {
		if pid, err := strconv.Atoi(f); err == nil && pid > 1 && pid != os.Getpid() {
			syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// sweep takes away the namespaces of tests that are no more.
func sweep(t testing.TB) {
	out, err := exec.Command("ip", "netns", "list").Output()
	if err != nil {
		t.Fatalf("ip netns list: %v", err)
	}
	for line := range strings.Lines(string(out)) {
		name, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		digits, ok := strings.CutPrefix(name, inside)
		if !ok {
			digits, ok = strings.CutPrefix(name, outside)
		}
		pid, err := strconv.Atoi(digits)
		if !ok || err != nil || !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			continue
		}
		empty(name)
		exec.Command("ip", "netns", "del", name).Run()
		dirs, err := filepath.Glob("/tmp/" + inside + digits + "-*")
		if err != nil {
			t.Fatal(err)
		}
		for _, dir := range dirs {
			os.RemoveAll(dir)
		}
	}
}

// Serve opens the daemon's HTTPS, and a way to it from the test's own network. It returns the URL and the
// daemon's certificate.
func (d *Daemon) Serve() (url string, certificate []byte) {
	d.t.Helper()
	d.Lxc("config", "set", "core.https_address", "127.0.0.1:8443")
	certificate, err := os.ReadFile(filepath.Join(d.Dir, "server.crt"))
	if err != nil {
		d.t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go carry(c, d.Namespace())
		}
	}()
	return "https://" + l.Addr().String(), certificate
}

// carry joins a connection with one to the daemon.
func carry(c net.Conn, namespace string) {
	defer c.Close()
	up, err := Dial(namespace, "127.0.0.1:8443", 10*time.Second)
	if err != nil {
		return
	}
	defer up.Close()
	done := make(chan struct{})
	go func() {
		io.Copy(up, c)
		up.(*net.TCPConn).CloseWrite()
		close(done)
	}()
	io.Copy(c, up)
	c.(*net.TCPConn).CloseWrite()
	<-done
}
