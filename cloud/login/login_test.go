package login

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"griddle/cloud"
	"griddle/imagestore/durable"
)

func open(t *testing.T, dir string) *Keys {
	t.Helper()
	k, err := Open(dir, durable.Disk{})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestKeysStay(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "login")
	a, b := open(t, dir), open(t, dir)
	first, err := a.HostPrivate("demo", "web-1")
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := b.HostPrivate("demo", "web-1"); again != first || a.Public() != b.Public() {
		t.Error("another Open gives other keys")
	}
	if other, _ := a.HostPrivate("demo", "web-2"); other == first {
		t.Error("two servers have one host key")
	}
	signer, err := ssh.ParsePrivateKey([]byte(first))
	if err != nil {
		t.Fatal(err)
	}
	public, err := a.Host("demo", "web-1")
	if err != nil || !bytes.Equal(signer.PublicKey().Marshal(), public.Marshal()) {
		t.Errorf("the host key's halves do not belong together: %v", err)
	}
	for _, name := range []string{"hosts.seed", "id_ed25519"} {
		path := filepath.Join(dir, name)
		if err := os.Chmod(path, 0o640); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir, durable.Disk{}); err == nil || !strings.Contains(err.Error(), "others can read") {
			t.Errorf("%s that others can read is taken: %v", name, err)
		}
		os.Chmod(path, 0o600)
	}
	if err := os.WriteFile(filepath.Join(dir, "hosts.seed"), []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, durable.Disk{}); err == nil {
		t.Error("a seed of five bytes is taken")
	}
}

// OpenSSH reads the keys that encode writes.
func TestOpenSSHReadsHostKey(t *testing.T) {
	k := open(t, t.TempDir())
	private, err := k.HostPrivate("demo", "web-1")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte(private), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "ssh-keygen", "-y", "-f", path).CombinedOutput()
	if err != nil {
		t.Fatalf("ssh-keygen: %v: %s; run make deps", err, out)
	}
	public, err := k.Host("demo", "web-1")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.TrimSpace(string(out)),
		strings.TrimSpace(string(ssh.MarshalAuthorizedKey(public))); got != want {
		t.Errorf("ssh-keygen says %s, want %s", got, want)
	}
}

// server answers on a loopback port as the server of a stack: each command is a line of sh.
func server(t *testing.T, k *Keys, stack, name string) netip.AddrPort {
	t.Helper()
	private, err := k.HostPrivate(stack, name)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.ParsePrivateKey([]byte(private))
	if err != nil {
		t.Fatal(err)
	}
	conf := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if !bytes.Equal(key.Marshal(), k.Signer().PublicKey().Marshal()) {
			return nil, fmt.Errorf("another key")
		}
		return nil, nil
	}}
	conf.AddHostKey(signer)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serve(c, conf)
		}
	}()
	return l.Addr().(*net.TCPAddr).AddrPort()
}

func serve(c net.Conn, conf *ssh.ServerConfig) {
	_, chans, requests, err := ssh.NewServerConn(c, conf)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for n := range chans {
		if n.ChannelType() == "direct-tcpip" {
			var to struct {
				Host string
				Port uint32
				From string
				At   uint32
			}
			if ssh.Unmarshal(n.ExtraData(), &to) != nil {
				n.Reject(ssh.ConnectionFailed, "no")
				continue
			}
			out, err := net.Dial("tcp", net.JoinHostPort(to.Host, fmt.Sprint(to.Port)))
			if err != nil {
				n.Reject(ssh.ConnectionFailed, err.Error())
				continue
			}
			ch, reqs, _ := n.Accept()
			go ssh.DiscardRequests(reqs)
			go func() { io.Copy(out, ch); out.Close() }()
			go func() { io.Copy(ch, out); ch.Close() }()
			continue
		}
		ch, reqs, err := n.Accept()
		if err != nil {
			continue
		}
		go func() {
			for r := range reqs {
				var run struct{ Command string }
				if r.Type != "exec" || ssh.Unmarshal(r.Payload, &run) != nil {
					r.Reply(false, nil)
					continue
				}
				r.Reply(true, nil)
				cmd := exec.Command("sh", "-c", run.Command)
				cmd.Stdin, cmd.Stdout, cmd.Stderr = ch, ch, ch.Stderr()
				code := 0
				if cmd.Run() != nil {
					code = cmd.ProcessState.ExitCode()
				}
				ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Code uint32 }{uint32(code)}))
				ch.Close()
			}
		}()
	}
}

func TestShell(t *testing.T) {
	k := open(t, t.TempDir())
	at := server(t, k, "demo", "web-1")
	inner := server(t, k, "demo", "db-1")
	sh := &Shell{Keys: k}
	web := cloud.Target{Stack: "demo", Server: "web-1", User: "ops", Address: at.Addr(), Port: at.Port()}
	db := cloud.Target{Stack: "demo", Server: "db-1", User: "ops", Address: inner.Addr(), Port: inner.Port(), Via: &web}
	for _, target := range []cloud.Target{web, db} {
		if out, exit, err := sh.Run(t.Context(), target, "echo hello; exit 3"); string(out) != "hello\n" ||
			exit != 3 || err != nil {
			t.Errorf("%s: %q, %d, %v", target.Server, out, exit, err)
		}
	}
	if _, _, err := sh.Run(t.Context(), web, "head -c 2000000 /dev/zero"); err == nil ||
		!strings.Contains(err.Error(), "more than") {
		t.Errorf("two megabytes are kept: %v", err)
	}
	// Somebody else's server, which has another key.
	web.Server = "web-2"
	if _, _, err := sh.Run(t.Context(), web, "true"); err == nil || !strings.Contains(err.Error(), "host key") {
		t.Errorf("a wrong host key: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := sh.Run(ctx, db, "sleep 100"); err == nil {
		t.Error("a command ran when it was to end")
	}
}

// OpenSSH's ssh takes the arguments and the known hosts.
func TestArguments(t *testing.T) {
	k := open(t, t.TempDir())
	at, inner := server(t, k, "demo", "web-1"), server(t, k, "demo", "db-1")
	web := cloud.Target{Stack: "demo", Server: "web-1", User: "ops", Address: at.Addr(), Port: at.Port()}
	db := cloud.Target{Stack: "demo", Server: "db-1", User: "ops", Address: inner.Addr(), Port: inner.Port(), Via: &web}
	for _, target := range []cloud.Target{web, db} {
		lines, err := k.KnownHosts(target)
		if err != nil {
			t.Fatal(err)
		}
		known := filepath.Join(t.TempDir(), "known_hosts")
		if err := os.WriteFile(known, []byte(lines), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.CommandContext(t.Context(), "ssh",
			append(append([]string{"-T", "-n"}, k.Arguments(target, known)...), "echo hello")...).CombinedOutput()
		if err != nil || string(out) != "hello\n" {
			t.Errorf("%s: %v: %s", target.Server, err, out)
		}
	}
}
