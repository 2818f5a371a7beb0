package machine

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"griddle/appliance/griddle/cli"
)

// identities are the private keys of the user of this command, for ssh.
type identities struct {
	home  string // with .ssh in it
	agent agent.Agent
	conn  net.Conn
}

// openIdentities connects to the ssh agent, where one runs.
func openIdentities(e *cli.Env) *identities {
	i := &identities{home: e.Getenv("HOME")}
	if socket := e.Getenv("SSH_AUTH_SOCK"); socket != "" {
		if conn, err := net.Dial("unix", socket); err == nil {
			i.conn, i.agent = conn, agent.NewClient(conn)
		}
	}
	return i
}

func (i *identities) close() {
	if i.conn != nil {
		i.conn.Close()
	}
}

// choose returns the key in file. Without a file it is the first one of the agent or of ~/.ssh that is among allowed,
// lines of authorized_keys.
func (i *identities) choose(file string, allowed []string) (ssh.Signer, error) {
	if file != "" {
		return i.read(file)
	}
	accepts := map[string]bool{}
	for _, line := range allowed {
		if k, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line)); err == nil {
			accepts[string(k.Marshal())] = true
		}
	}
	if i.agent != nil {
		all, err := i.agent.Signers()
		if err != nil {
			return nil, fmt.Errorf("asking the ssh agent: %w", err)
		}
		for _, s := range all {
			if accepts[string(s.PublicKey().Marshal())] {
				return s, nil
			}
		}
	}
	for _, name := range []string{"id_ed25519", "id_ecdsa", "id_rsa"} { // as ssh(1) tries them
		file := filepath.Join(i.home, ".ssh", name)
		public, err := os.ReadFile(file + ".pub")
		if err != nil {
			continue
		}
		if k, _, _, _, err := ssh.ParseAuthorizedKey(public); err == nil && accepts[string(k.Marshal())] {
			return i.read(file)
		}
	}
	return nil, cli.WithHint(errors.New("neither the ssh agent nor ~/.ssh has a private key that the machine lets in"),
		"Give it with --identity FILE, or run `ssh-add FILE`.")
}

// read reads a private key. The agent signs for one that is protected by a passphrase.
func (i *identities) read(file string) (ssh.Signer, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the private key: %w", err)
	}
	s, err := ssh.ParsePrivateKey(b)
	var locked *ssh.PassphraseMissingError
	if err == nil || !errors.As(err, &locked) {
		if err != nil {
			err = fmt.Errorf("reading the private key %s: %w", file, err)
		}
		return s, err
	}
	if i.agent != nil && locked.PublicKey != nil {
		all, err := i.agent.Signers()
		if err != nil {
			return nil, fmt.Errorf("asking the ssh agent: %w", err)
		}
		for _, s := range all {
			if string(s.PublicKey().Marshal()) == string(locked.PublicKey.Marshal()) {
				return s, nil
			}
		}
	}
	return nil, cli.WithHint(fmt.Errorf("reading the private key %s: it has a passphrase", file),
		"Run `ssh-add %s`, and try again.", file)
}
