package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"griddle/appliance/api"
	"griddle/appliance/setting"
)

// auditedMachine is an installed machine as an audit sees it: what its ssh server answers to each command.
type auditedMachine struct {
	host ssh.Signer
	user string
	key  ssh.PublicKey
	says map[string]string // part of a command -> its output
}

// secureSays are the answers of a machine in the secure state; PORT is that of its ssh server.
func secureSays(port int) map[string]string {
	chain := func(hook string) string {
		return `{"chain": {"family": "inet", "table": "griddle", "name": "` + hook + `", "hook": "` + hook +
			`", "policy": "drop"}}`
	}
	return map[string]string{
		"/etc/shadow": "root:locked\nada:locked\n", "hostname": "web1\n", "is-enabled nftables": "enabled\n",
		"list ruleset": `{"nftables": [` + chain("input") + ", " + chain("forward") + "]}",
		"sudo -n -l":   "    (ALL : ALL) NOPASSWD: ALL\n", "/etc/localtime": "/usr/share/zoneinfo/UTC\nUTC\n",
		"sshd -T": fmt.Sprintf("port %d\npermitrootlogin no\npubkeyauthentication yes\npasswordauthentication no\n"+
			"kbdinteractiveauthentication no\npermitemptypasswords no\nhostbasedauthentication no\n"+
			"authenticationmethods publickey\nallowusers ada\n", port),
	}
}

func (m *auditedMachine) serve(c net.Conn) {
	defer c.Close()
	conf := &ssh.ServerConfig{PublicKeyCallback: func(md ssh.ConnMetadata, k ssh.PublicKey) (*ssh.Permissions, error) {
		if md.User() != m.user || string(k.Marshal()) != string(m.key.Marshal()) {
			return nil, errors.New("not let in")
		}
		return nil, nil
	}}
	conf.AddHostKey(m.host)
	_, chans, requests, err := ssh.NewServerConn(c, conf)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for n := range chans {
		ch, reqs, err := n.Accept()
		if err != nil {
			return
		}
		go func() {
			defer ch.Close()
			for r := range reqs {
				var x struct{ Command string }
				r.Reply(r.Type == "exec", nil)
				if r.Type != "exec" || ssh.Unmarshal(r.Payload, &x) != nil {
					continue
				}
				for part, out := range m.says {
					if strings.Contains(x.Command, part) {
						io.WriteString(ch, out)
					}
				}
				ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{0}))
				return
			}
		}()
	}
}

// privateKey is a new key, and a file with it.
func privateKey(t *testing.T, file string, passphrase string) ssh.Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if passphrase != "" {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(key, "", []byte(passphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err == nil {
		err = errors.Join(os.WriteFile(file, pem.EncodeToMemory(block), 0o600),
			os.WriteFile(file+".pub", ssh.MarshalAuthorizedKey(signer.PublicKey()), 0o644))
	}
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

// TestMachineAudit audits an installed machine that was ordered, booted, and reported.
func TestMachineAudit(t *testing.T) {
	home, state := t.TempDir(), filepath.Join(t.TempDir(), "state")
	if err := os.Mkdir(filepath.Join(home, ".ssh"), 0o700); err != nil {
		t.Fatal(err)
	}
	ada := privateKey(t, filepath.Join(home, ".ssh", "id_ed25519"), "")
	privateKey(t, filepath.Join(home, "other"), "")
	privateKey(t, filepath.Join(home, "locked"), "secret")
	host := privateKey(t, filepath.Join(home, "host"), "")
	agent, err := serveAPI(t, state)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	m := &auditedMachine{host: host, user: "ada", key: ada.PublicKey(), says: secureSays(port)}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go m.serve(c)
		}
	}()
	client := api.NewClient(agent.url, adminToken, agent.tls)
	run := func(want int, says string, args ...string) string {
		t.Helper()
		code, out := docRun(home, nil, append([]string{"machine", "audit", "--state-dir", state}, args...)...)
		if code != want || !strings.Contains(out, says) {
			t.Errorf("audit %q ended with %d, want %d and %q:\n%s", args, code, want, says, out)
		}
		return out
	}
	settings := func(text string) {
		t.Helper()
		d, err := setting.Decode("test", []byte(text))
		if err == nil {
			_, err = client.SetSettings(t.Context(), "web1", d)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	users := `"users": [{"name": "ada", "sudo": true, "keys": ["` +
		strings.TrimSpace(string(ssh.MarshalAuthorizedKey(ada.PublicKey()))) + `"]}]`
	secure := fmt.Sprintf(`{"zone": "UTC", "ssh": {"secure": true, "port": %d}, %s}`, port, users)

	if _, err := client.Install(t.Context(), "52:54:00:00:00:0a", api.Install{Image: "web", Disk: "largest",
		Hostname: "web1"}); err != nil {
		t.Fatal(err)
	}
	at := []string{"web1", "--address", "127.0.0.1"}
	run(1, "auditing web1: it has not reported from an installed system: it is pending", at...)
	for _, do := range [][]string{{"hello", "52:54:00:00:00:0a"},
		{"event", `{"phase":"partition","level":"info","state":"started","disk":"S1"}`},
		{"event", `{"phase":"finish","level":"info","state":"done"}`},
		{"home", string(ssh.MarshalAuthorizedKey(host.PublicKey()))}} {
		if err := agent.do(do); err != nil {
			t.Fatal(err)
		}
	}
	run(1, "its settings have no user with sudo and a key", at...)

	settings(secure)
	out := run(0, "login of ada with its key", at...)
	if strings.Contains(out, "FAILED") || strings.Contains(out, "note") || strings.Count(out, "ok ") < 12 {
		t.Errorf("the audit says\n%s", out)
	}
	run(0, `"name": "firewall, IPv4 input"`, append(at, "-o", "json")...)

	// What is not as declared fails, and is a note where the settings do not ask for it.
	delete(m.says, "list ruleset")
	m.says["hostname"] = "\x1b[31mdebian\n"
	out = run(1, "2 of 12 points of web1 are not as declared", at...)
	if !strings.Contains(out, "FAILED") || strings.Contains(out, "\x1b[31m") {
		t.Errorf("the audit says\n%s", out)
	}
	settings(fmt.Sprintf(`{"zone": "UTC", "ssh": {"port": %d}, %s}`, port, users))
	out = run(1, "1 of 12 points of web1 are not as declared", at...)
	if !strings.Contains(out, "\nnote ") || !strings.Contains(out, "web1 do not ask for the points with \"note\"") {
		t.Errorf("the audit says\n%s", out)
	}
	settings(secure)

	// Keys: only the reported host key counts, and only a key that the machine lets in.
	m.host = privateKey(t, filepath.Join(home, "host2"), "")
	run(1, "the server has another host key", at...)
	run(1, "FAILED", append(at, "--host-key", filepath.Join(home, "host2.pub"))...)
	run(1, "has no public key: give a file such as ssh_host_ed25519_key.pub", append(at, "--host-key", "/dev/null")...)
	m.host = host
	run(1, "logging in as ada", append(at, "--identity", filepath.Join(home, "other"))...)
	run(1, "it has a passphrase\n  Run `ssh-add ", append(at, "--identity", filepath.Join(home, "locked"))...)
	run(1, "neither the ssh agent nor ~/.ssh has a private key", append(at, "--user", "eve")...)
	run(1, "ssh does not answer", "web1", "--address", "127.0.0.2")
	run(2, "is not an address", "web1", "--address", "web1")

	// A machine that an agent of an earlier version installed has reported no key.
	older := *agent
	if _, err := client.Install(t.Context(), "52:54:00:00:00:0b", api.Install{Image: "web", Disk: "largest",
		Hostname: "old1"}); err != nil {
		t.Fatal(err)
	}
	for _, do := range [][]string{{"hello", "52:54:00:00:00:0b"},
		{"event", `{"phase":"partition","level":"info","state":"started","disk":"S1"}`}, {"home"}} {
		if err := older.do(do); err != nil {
			t.Fatal(err)
		}
	}
	run(1, "it has reported no host key: its agent is from an earlier version", "old1", "--user", "ada")
}
