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
	"golang.org/x/crypto/ssh/agent"
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

// passphrase protects one of the keys.
const passphrase = "open sesame"

// sshAgent is the socket of an agent that has the keys in files.
func sshAgent(t *testing.T, dir string, files ...string) string {
	t.Helper()
	ring := agent.NewKeyring()
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		key, err := ssh.ParseRawPrivateKey(b)
		if err != nil {
			key, err = ssh.ParseRawPrivateKeyWithPassphrase(b, []byte(passphrase))
		}
		if err == nil {
			err = ring.Add(agent.AddedKey{PrivateKey: key})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	socket := filepath.Join(dir, "agent.sock")
	l, err := net.Listen("unix", socket)
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
			go agent.ServeAgent(ring, c)
		}
	}()
	return socket
}

// privateKey is a new key, and a file with it.
func privateKey(t *testing.T, file, passphrase string) ssh.Signer {
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
