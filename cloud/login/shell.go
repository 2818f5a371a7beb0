package login

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"time"

	"golang.org/x/crypto/ssh"

	"griddle/cloud"
)

// Shell runs commands on servers. It implements cloud.Shell.
type Shell struct {
	Keys    *Keys
	Connect time.Duration // how long a connection may take until the login is done; 0 for 20 s
}

// maxOutput is how much of a command's output is kept, in bytes.
const maxOutput = 1 << 20

// Run implements cloud.Shell. The server's host key must be the one that Keys gave it.
func (s *Shell) Run(ctx context.Context, t cloud.Target, command string) (stdout []byte, exit int, err error) {
	out := &bounded{left: maxOutput}
	exit, err = s.Stream(ctx, t, command, nil, out, io.Discard)
	if err == nil && out.left < 0 {
		return nil, exit, fmt.Errorf("running a command on %s: it wrote more than %d bytes", t.Server, maxOutput)
	}
	return out.kept.Bytes(), exit, err
}

// bounded keeps so many bytes, and drops the rest. It has no ReadFrom, which would go around the bound.
type bounded struct {
	kept bytes.Buffer
	left int
}

func (b *bounded) Write(p []byte) (int, error) {
	if n := min(len(p), max(0, b.left)); n > 0 {
		b.kept.Write(p[:n])
	}
	b.left -= len(p)
	return len(p), nil
}

// Stream is Run with the command's input and output as they come. in may be nil.
func (s *Shell) Stream(ctx context.Context, t cloud.Target, command string, in io.Reader, out,
	errs io.Writer) (exit int, err error) {
	client, err := s.dial(ctx, t)
	if err != nil {
		return 0, fmt.Errorf("logging in to %s: %w", t.Server, err)
	}
	defer client.Close()
	stop := context.AfterFunc(ctx, func() { client.Close() })
	defer stop()
	session, err := client.NewSession()
	if err != nil {
		return 0, fmt.Errorf("logging in to %s: %w", t.Server, err)
	}
	defer session.Close()
	session.Stdin, session.Stdout, session.Stderr = in, out, errs
	err = session.Run(command)
	var ended *ssh.ExitError
	switch {
	case err == nil:
		return 0, nil
	case errors.As(err, &ended) && ended.Signal() == "":
		return ended.ExitStatus(), nil
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	}
	return 0, fmt.Errorf("running a command on %s: %w", t.Server, err)
}

// dial logs in, through t.Via where that is set.
func (s *Shell) dial(ctx context.Context, t cloud.Target) (*ssh.Client, error) {
	limit := s.Connect
	if limit == 0 {
		limit = 20 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	key, err := s.Keys.Host(t.Stack, t.Server)
	if err != nil {
		return nil, err
	}
	address := netip.AddrPortFrom(t.Address, t.Port).String()
	var conn net.Conn
	var via *ssh.Client
	if t.Via != nil {
		if via, err = s.dial(ctx, *t.Via); err != nil {
			return nil, fmt.Errorf("through %s: %w", t.Via.Server, err)
		}
		conn, err = via.DialContext(ctx, "tcp", address)
	} else {
		var d net.Dialer
		conn, err = d.DialContext(ctx, "tcp", address)
	}
	if err != nil {
		if via != nil {
			via.Close()
		}
		return nil, err
	}
	// A server that takes the connection and says nothing must not hold this up.
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	c, chans, requests, err := ssh.NewClientConn(conn, address, &ssh.ClientConfig{
		User: t.User, Auth: []ssh.AuthMethod{ssh.PublicKeys(s.Keys.signer)}, HostKeyCallback: ssh.FixedHostKey(key),
		HostKeyAlgorithms: []string{ssh.KeyAlgoED25519},
	})
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		conn.Close()
		if via != nil {
			via.Close()
		}
		return nil, err
	}
	client := ssh.NewClient(c, chans, requests)
	if via != nil {
		go func() {
			client.Wait()
			via.Close()
		}()
	}
	return client, nil
}

// Arguments are those of OpenSSH's ssh for t: it checks the same host keys, which knownHosts holds, and asks no
// question. A command follows after them.
func (k *Keys) Arguments(t cloud.Target, knownHosts string) []string {
	args := []string{"-i", k.Identity(), "-o", "IdentitiesOnly=yes", "-o", "UserKnownHostsFile=" + knownHosts,
		"-o", "GlobalKnownHostsFile=/dev/null",
		"-o", "StrictHostKeyChecking=yes", "-o", "PasswordAuthentication=no", "-o", "HostKeyAlias=" + alias(t),
		"-p", strconv.Itoa(int(t.Port)), "-l", t.User}
	if t.Via != nil {
		proxy := "ssh"
		for _, a := range k.Arguments(*t.Via, knownHosts) {
			proxy += " '" + a + "'"
		}
		args = append(args, "-o", "ProxyCommand="+proxy+" -W %h:%p")
	}
	return append(args, t.Address.String())
}

// KnownHosts are the lines of a known_hosts file for t and the servers that it is reached through.
func (k *Keys) KnownHosts(t cloud.Target) (string, error) {
	key, err := k.Host(t.Stack, t.Server)
	if err != nil {
		return "", err
	}
	lines := alias(t) + " " + string(ssh.MarshalAuthorizedKey(key))
	if t.Via != nil {
		more, err := k.KnownHosts(*t.Via)
		if err != nil {
			return "", err
		}
		lines += more
	}
	return lines, nil
}

// alias is the name under which a server's key is known, whatever its address is today.
func alias(t cloud.Target) string { return t.Server + "." + t.Stack + ".griddle" }
