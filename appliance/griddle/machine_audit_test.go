package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"griddle/appliance/api"
	"griddle/appliance/setting"
)

// TestMachineAudit audits an installed machine that was ordered, booted, and reported.
func TestMachineAudit(t *testing.T) {
	home, state := t.TempDir(), filepath.Join(t.TempDir(), "state")
	if err := os.Mkdir(filepath.Join(home, ".ssh"), 0o700); err != nil {
		t.Fatal(err)
	}
	ada := privateKey(t, filepath.Join(home, ".ssh", "id_ed25519"), "")
	privateKey(t, filepath.Join(home, "other"), "")
	locked := privateKey(t, filepath.Join(home, "locked"), passphrase)
	host := privateKey(t, filepath.Join(home, "host"), "")
	installed, err := serveAPI(t, state)
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
	client := api.NewClient(installed.url, adminToken, installed.tls)
	env := map[string]string{}
	run := func(want int, says string, args ...string) string {
		t.Helper()
		code, out := docRun(home, env, append([]string{"machine", "audit", "--state-dir", state}, args...)...)
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
		if err := installed.do(do); err != nil {
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

	// The ssh agent signs for a key of which there is no file, and for one that has a passphrase.
	m.says = secureSays(port)
	env["SSH_AUTH_SOCK"] = sshAgent(t, home, filepath.Join(home, ".ssh", "id_ed25519"), filepath.Join(home, "locked"))
	if err := os.Remove(filepath.Join(home, ".ssh", "id_ed25519")); err != nil {
		t.Fatal(err)
	}
	run(0, "login of ada with its key", at...)
	m.key = locked.PublicKey()
	run(0, "login of ada with its key", append(at, "--identity", filepath.Join(home, "locked"))...)

	// A machine that an agent of an earlier version installed has reported no key.
	older := *installed
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
