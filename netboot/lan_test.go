package netboot

import (
	"bufio"
	"context"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// helperEnv makes the test binary a server instead: the sockets of TFTP transfers are opened while it runs, so the
// whole process has to be in the network namespace.
const helperEnv = "GRIDDLE_NETBOOT_HELPER"

func TestMain(m *testing.M) {
	if conf := os.Getenv(helperEnv); conf != "" {
		os.Exit(helper(conf))
	}
	os.Exit(m.Run())
}

// helper serves with the Config in conf, says "ready" or "error: ...", and runs until its standard input ends. Then it
// prints its counters.
func helper(conf string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := serveHelper(ctx, conf); err != nil {
		fmt.Println("error:", err)
		return 1
	}
	return 0
}

func serveHelper(ctx context.Context, conf string) error {
	var c Config
	if err := gob.NewDecoder(hex.NewDecoder(strings.NewReader(conf))).Decode(&c); err != nil {
		return err
	}
	b := booterFunc(func(Machine) (Spec, error) { return Spec{Action: Agent, Kernel: "/boot/vmlinuz"}, nil })
	var seen refused
	s, err := Listen(ctx, c, b, &seen,
		slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", netip.AddrPortFrom(s.ServerIP(), 8080).String())
	if err != nil {
		return err
	}
	web := http.Server{Handler: s.Handler()}
	go web.Serve(l)
	defer web.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	fmt.Println("ready")
	if err := s.Run(ctx); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(ended{s.Counters(), s.Notices(), seen.all})
}

// ended is what a helper says at its end.
type ended struct {
	Counters
	Notices, Refused []string
}

// refused remembers what an Observer was told.
type refused struct {
	mu  sync.Mutex
	all []string
}

func (r *refused) Seen(Machine, string) {}

func (r *refused) Refused(m Machine, why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, m.MAC.String()+": "+why)
}

// server is a helper process.
type server struct {
	cmd   *exec.Cmd
	stdin io.Closer
	out   *bufio.Reader
	log   string
}

// startHelper starts one in the namespace ns. It fails the test unless wantErr is "", and then returns nil when the
// error has wantErr in it.
func startHelper(t *testing.T, ns string, c Config, wantErr string) *server {
	t.Helper()
	if c.BootDir == "" {
		c.BootDir = bootDir(t)
	}
	var conf strings.Builder
	if err := gob.NewEncoder(hex.NewEncoder(&conf)).Encode(c); err != nil {
		t.Fatal(err)
	}
	s := &server{log: filepath.Join(t.TempDir(), "server.log")}
	log, err := os.Create(s.log)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	s.cmd = exec.Command("ip", "netns", "exec", ns, os.Args[0])
	s.cmd.Env = append(os.Environ(), helperEnv+"="+conf.String())
	s.cmd.Stderr = log
	in, err := s.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.stdin, s.out = in, bufio.NewReader(out)
	t.Cleanup(func() {
		in.Close()
		s.cmd.Wait()
		if t.Failed() {
			b, _ := os.ReadFile(s.log)
			t.Logf("server log:\n%s", b)
		}
	})
	line, _ := s.out.ReadString('\n')
	if wantErr != "" {
		if !strings.Contains(line, wantErr) {
			t.Errorf("Listen says %q, want it to have %q", line, wantErr)
		}
		return nil
	}
	if line != "ready\n" {
		t.Fatalf("Listen says %q", line)
	}
	return s
}

// stop ends the server, and returns what it says then.
func (s *server) stop(t *testing.T) ended {
	t.Helper()
	s.stdin.Close()
	var e ended
	if err := json.NewDecoder(s.out).Decode(&e); err != nil {
		t.Fatalf("reading what the server says at its end: %v", err)
	}
	return e
}

// text is the server's log so far.
func (s *server) text(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(s.log)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// logged waits until the server's log has text n times.
func (s *server) logged(t *testing.T, text string, n int) {
	t.Helper()
	s.after(t, text, n, func() {})
}

// after does something again and again, because a datagram may be lost, until the server's log has text n times.
func (s *server) after(t *testing.T, text string, n int, do func()) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		do()
		if strings.Count(s.text(t), text) >= n {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the log does not say %q %d times", text, n)
		}
	}
}

// lan is a private network: the namespace NAME with the bridge br0 at 10.97.0.1/24, and one namespace for each host.
type lan struct {
	t    *testing.T
	name string
}

// Tests on networks of their own wait for other programs most of the time, and run side by side.
func newLAN(t *testing.T) *lan {
	t.Helper()
	t.Parallel()
	l := &lan{t: t, name: fmt.Sprintf("griddle-nb-%d-%s", os.Getpid(), strings.ToLower(t.Name()))}
	l.namespace(l.name)
	l.run("ip", "-n", l.name, "link", "add", "br0", "type", "bridge")
	l.run("ip", "-n", l.name, "addr", "add", "10.97.0.1/24", "dev", "br0")
	l.run("ip", "-n", l.name, "link", "set", "br0", "up")
	return l
}

func (l *lan) namespace(name string) {
	l.t.Helper()
	l.run("ip", "netns", "add", name)
	l.t.Cleanup(func() { exec.Command("ip", "netns", "del", name).Run() })
	l.run("ip", "-n", name, "link", "set", "lo", "up")
}

// host adds a namespace with the interface eth0 on the bridge and gives the namespace's name.
func (l *lan) host(number int, addr string) string {
	l.t.Helper()
	name := fmt.Sprintf("%s-%d", l.name, number)
	port := fmt.Sprintf("p%d", number)
	l.namespace(name)
	l.run("ip", "-n", name, "link", "add", "eth0", "address", fmt.Sprintf("52:54:00:97:00:%02x", number), "type",
		"veth", "peer", "name", port, "netns", l.name)
	l.run("ip", "-n", l.name, "link", "set", port, "master", "br0", "up")
	if addr != "" {
		l.run("ip", "-n", name, "addr", "add", addr, "dev", "eth0")
	}
	l.run("ip", "-n", name, "link", "set", "eth0", "up")
	return name
}

// run runs a command that has to succeed, and gives what it prints.
func (l *lan) run(args ...string) string {
	l.t.Helper()
	return l.runIn("", args...)
}

// runIn is run in a namespace.
func (l *lan) runIn(ns string, args ...string) string {
	l.t.Helper()
	if _, err := exec.LookPath(args[0]); err != nil {
		l.t.Fatalf("%v: run make deps", err)
	}
	if ns != "" {
		args = append([]string{"ip", "netns", "exec", ns}, args...)
	}
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		l.t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// dnsmasq starts the LAN's DHCP server on host ns and waits until it serves. Without first and last it leases nothing.
// The function that it returns ends it.
func (l *lan) dnsmasq(ns, iface, first, last string, more ...string) (end func()) {
	l.t.Helper()
	if _, err := exec.LookPath("dnsmasq"); err != nil {
		l.t.Fatalf("%v: run make deps", err)
	}
	args := append([]string{"netns", "exec", ns, "dnsmasq", "-C", "/dev/null", "-k", "-p", "0", "--user=root",
		"--interface=" + iface, "--log-facility=-", "--log-dhcp",
		"--dhcp-leasefile=" + filepath.Join(l.t.TempDir(), "leases")}, more...)
	if first != "" {
		args = append(args, "--dhcp-range="+first+","+last+",1h")
	}
	cmd := exec.Command("ip", args...)
	out, err := cmd.StderrPipe()
	if err != nil {
		l.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	end = sync.OnceFunc(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	l.t.Cleanup(end)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "DHCP, sockets bound") || strings.Contains(lines.Text(), "DHCP, IP range") ||
			strings.Contains(lines.Text(), "DHCP relay") {
			go io.Copy(io.Discard, out)
			return end
		}
	}
	l.t.Fatal("dnsmasq ended before it served")
	return nil
}

// script writes an executable file.
func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}
