package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/crypto/ssh"

	"griddle/cloud/bootreport"
	"griddle/cloud/login"
	"griddle/cloud/provider/lxd/lxdtest"
	"griddle/imagestore/durable"
)

// fakeCloud is an LXD in memory whose servers answer ssh in this process, at their public addresses.
type fakeCloud struct {
	lxd    *lxdtest.Fake
	socket string
	state  string       // griddle's, where its login keys are
	prefix netip.Prefix // of public addresses, on the loopback
	port   uint16       // of ssh

	mu      sync.Mutex
	reports map[string]string // what a server's report says, "done" where there is none
	down    map[string]bool   // servers whose ssh server is not there
	boots   map[string]int    // how often a server was asked which boot it runs
}

// fakes counts the fake clouds of this process, each of which gets a loopback network of its own.
type fakes struct{ n atomic.Uint32 }

func newFakeCloud(t testing.TB, n *fakes, dir, state string) *fakeCloud {
	t.Helper()
	k := n.n.Add(1)
	f := &fakeCloud{lxd: lxdtest.NewFake(), socket: filepath.Join(dir, "lxd.socket"), state: state,
		reports: map[string]string{}, down: map[string]bool{}, boots: map[string]int{},
		prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{127, 66, byte(os.Getpid()), byte(k * 8)}), 29)}
	l, err := net.Listen("unix", f.socket)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(f.lxd)
	s.Listener.Close()
	s.Listener = l
	s.Start()
	t.Cleanup(s.Close)
	for a := f.prefix.Addr(); f.prefix.Contains(a); a = a.Next() {
		l, err := net.Listen("tcp", netip.AddrPortFrom(a, f.port).String())
		if err != nil {
			t.Fatal(err)
		}
		f.port = l.Addr().(*net.TCPAddr).AddrPort().Port()
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go f.serve(c, f.holder(a))
			}
		}()
	}
	return f
}

// holder is the server that has a public address, as STACK/NAME; empty for none.
func (f *fakeCloud) holder(a netip.Addr) string {
	for _, p := range f.lxd.Paths() {
		if !strings.HasSuffix(p, "/forwards/"+a.String()) {
			continue
		}
		var o struct {
			Config map[string]string `json:"config"`
		}
		if json.Unmarshal([]byte(f.lxd.Get(p)), &o) == nil {
			return o.Config["user.griddle-stack"] + "/" + o.Config["user.griddle-name"]
		}
	}
	return ""
}

// serve is the ssh server of one server.
func (f *fakeCloud) serve(c net.Conn, server string) {
	defer c.Close()
	stack, name, ok := strings.Cut(server, "/")
	f.mu.Lock()
	down := f.down[name]
	f.mu.Unlock()
	keys, err := login.Open(filepath.Join(f.state, "login"), durable.Disk{})
	if !ok || down || err != nil {
		return
	}
	private, err := keys.HostPrivate(stack, name)
	if err != nil {
		return
	}
	host, err := ssh.ParsePrivateKey([]byte(private))
	if err != nil {
		return
	}
	conf := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, k ssh.PublicKey) (*ssh.Permissions, error) {
		if string(k.Marshal()) != string(keys.Signer().PublicKey().Marshal()) {
			return nil, errors.New("another key")
		}
		return nil, nil
	}}
	conf.AddHostKey(host)
	_, chans, requests, err := ssh.NewServerConn(c, conf)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for n := range chans {
		if n.ChannelType() != "session" {
			n.Reject(ssh.UnknownChannelType, "no")
			continue
		}
		go f.session(n, name)
	}
}

func (f *fakeCloud) session(n ssh.NewChannel, name string) {
	ch, reqs, err := n.Accept()
	if err != nil {
		return
	}
	defer ch.Close()
	for r := range reqs {
		var x struct{ Command string }
		switch {
		case r.Type == "shell": // which ends at once
			x.Command = "true"
		case r.Type != "exec":
			r.Reply(r.Type == "env", nil)
			continue
		case ssh.Unmarshal(r.Payload, &x) != nil:
			return
		}
		r.Reply(true, nil)
		out, exit := f.run(name, x.Command)
		io.WriteString(ch, out)
		ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{uint32(exit)}))
		return
	}
}

// run is what a server does with a command.
func (f *fakeCloud) run(name, command string) (out string, exit int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case strings.Contains(command, "cloud-init status"):
		return "status: done\n", 0
	case strings.Contains(command, bootreport.Path):
		if r := f.reports[name]; r != "" {
			return r, 0
		}
		return "done\n", 0
	case strings.Contains(command, "cloud-init-output.log"):
		return "the last line of " + name + "\n", 0
	case strings.Contains(command, "'/run/token'"):
		return "t0ken\n", 0
	case strings.Contains(command, "boot_id"):
		f.boots[name]++
		return fmt.Sprintf("boot-%d\n", f.boots[name]), 0
	}
	b, err := exec.Command("sh", "-c", command).CombinedOutput()
	var ended *exec.ExitError
	if errors.As(err, &ended) {
		return string(b), ended.ExitCode()
	}
	return string(b), 0
}

// command is the script command fakecloud: "fakecloud FILE..." starts one, has LXD_SOCKET name it, and writes its
// networks into the stack files, in place of ADDRESSES and SSHPORT; "fakecloud report SERVER TEXT" sets a server's
// report.
func (n *fakes) command(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) == 3 && args[0] == "report" {
		f := ts.Value("fakecloud").(*fakeCloud)
		f.mu.Lock()
		defer f.mu.Unlock()
		f.reports[args[1]] = strings.ReplaceAll(args[2], `\n`, "\n")
		return
	}
	f := ts.Value("newcloud").(func() *fakeCloud)()
	ts.Setenv("LXD_SOCKET", f.socket)
	for _, name := range args {
		ts.Check(f.fill(ts.MkAbs(name)))
	}
}

// fill writes the fake's networks into a stack file.
func (f *fakeCloud) fill(path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	text := strings.NewReplacer("ADDRESSES", f.prefix.String(), "SSHPORT", fmt.Sprint(f.port)).Replace(string(b))
	return os.WriteFile(path, []byte(text), 0o600)
}

// servable is a tree with what a server's image must hold.
func servable(dir string, without ...string) error {
	for _, p := range []string{"usr/bin/cloud-init", "usr/bin/sudo", "usr/bin/dbus-daemon", "usr/sbin/sshd",
		"usr/sbin/nft", "usr/lib/systemd/systemd"} {
		if slices.Contains(without, filepath.Base(p)) {
			continue
		}
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(p)), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, p), []byte(p), 0o755); err != nil {
			return err
		}
	}
	return nil
}
