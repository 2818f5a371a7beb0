package audit

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sync/errgroup"
)

// outside tries to log in as one must not be able to, and which ports answer.
func outside(ctx context.Context, t Target, w Want) ([]Point, error) {
	var points []Point
	for _, user := range slices.Compact([]string{w.Admin, "root"}) {
		a := &attempt{}
		err := a.try(ctx, t, user, ssh.PasswordCallback(a.password), ssh.KeyboardInteractive(a.question))
		points = append(points, w.weigh(w.NoPasswords, a.passwordRefused(user, err))...)
	}
	a := &attempt{}
	err := a.try(ctx, t, "root", ssh.PublicKeys(t.Signer))
	points = append(points, w.weigh(w.NoRoot, a.rootRefused(err))...)
	if !t.Scan.IsValid() {
		return points, nil
	}
	open, err := scan(ctx, t)
	if err != nil {
		return points, err
	}
	return append(points, w.weigh(false, openPorts(open, t.From, t.To, w))...), nil
}

// attempt is one attempt to log in.
type attempt struct {
	asked     []string // methods that the server offered and we answered
	connected bool     // the server showed its host key
}

func (a *attempt) password() (string, error) {
	a.asked = append(a.asked, "password")
	return "not-the-password", nil
}

func (a *attempt) question(string, string, []string, []bool) ([]string, error) {
	a.asked = append(a.asked, "keyboard-interactive")
	return nil, errors.New("no answer")
}

// try logs in, and out again where that was possible.
func (a *attempt) try(ctx context.Context, t Target, user string, methods ...ssh.AuthMethod) error {
	client, err := login(ctx, t, user, func() { a.connected = true }, methods...)
	if err == nil {
		client.Close()
	}
	return err
}

func (a *attempt) passwordRefused(user string, err error) Point {
	name := "password login of " + user
	switch {
	case err == nil:
		return failed(name, "logged in")
	case len(a.asked) > 0:
		return failed(name, "the server asks for one by %s", strings.Join(slices.Compact(a.asked), " and "))
	case !a.connected:
		return failed(name, "no connection: %v", err)
	}
	return passed(name, "refused without asking for one")
}

func (a *attempt) rootRefused(err error) Point {
	const name = "login of root with the admin's key"
	switch {
	case err == nil:
		return failed(name, "logged in")
	case !a.connected:
		return failed(name, "no connection: %v", err)
	}
	return passed(name, "refused")
}

// login connects, checks the host key and authenticates.
func login(ctx context.Context, t Target, user string, known func(), methods ...ssh.AuthMethod) (*ssh.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, 15*t.Wait)
	defer cancel()
	conn, err := t.Dial(ctx, "tcp", t.SSH.String())
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	// The handshake knows no context: closing the connection ends it.
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	pinned := ssh.FixedHostKey(t.HostKey)
	config := &ssh.ClientConfig{
		User: user, Auth: methods, ClientVersion: "SSH-2.0-griddle",
		HostKeyAlgorithms: algorithms(t.HostKey.Type()),
		HostKeyCallback: func(host string, remote net.Addr, key ssh.PublicKey) error {
			if err := pinned(host, remote, key); err != nil {
				return fmt.Errorf("the server has another host key, %s: %w", ssh.FingerprintSHA256(key), err)
			}
			known()
			return nil
		},
	}
	c, channels, requests, err := ssh.NewClientConn(conn, t.SSH.String(), config)
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("logging in as %s: %w", user, err)
	}
	return ssh.NewClient(c, channels, requests), nil
}

// algorithms asks for the pinned key alone, lest the server show another of its keys.
func algorithms(kind string) []string {
	if kind == ssh.KeyAlgoRSA {
		return []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
	}
	return []string{kind}
}

// scan returns the ports that accept a connection, in order.
func scan(ctx context.Context, t Target) ([]uint16, error) {
	var (
		mu   sync.Mutex
		open []uint16
		g    errgroup.Group
	)
	g.SetLimit(512) // sockets: below the 1,024 that a process may have at the least
	for port := int(t.From); port <= int(t.To) && port > 0; port++ {
		g.Go(func() error {
			answers, err := probe(ctx, t, uint16(port))
			if answers {
				mu.Lock()
				defer mu.Unlock()
				open = append(open, uint16(port))
			}
			return err
		})
	}
	err := g.Wait()
	slices.Sort(open)
	return open, err
}

// probe connects. The kernel sends its first packet again after a second, within t.Wait, since one may be lost.
func probe(ctx context.Context, t Target, port uint16) (bool, error) {
	dial, cancel := context.WithTimeout(ctx, t.Wait)
	defer cancel()
	conn, err := t.Dial(dial, "tcp", netip.AddrPortFrom(t.Scan, port).String())
	var timeout net.Error
	switch {
	case err == nil:
		return true, conn.Close()
	case ctx.Err() != nil:
		return false, fmt.Errorf("trying port %d: %w", port, ctx.Err())
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.EACCES):
		return false, nil
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded),
		errors.As(err, &timeout) && timeout.Timeout():
		return false, nil
	}
	return false, fmt.Errorf("trying port %d: %w", port, err)
}

// openPorts decides about a scan. A declared port need not be open: nothing may listen there, or its sources be others.
func openPorts(open []uint16, from, to uint16, w Want) Point {
	const name = "open ports"
	var wrong []uint16
	for _, p := range open {
		declared := p == w.SSHPort || slices.ContainsFunc(w.Ports, func(d Port) bool {
			return d.Protocol == "tcp" && d.From <= p && p <= d.To
		})
		if !declared {
			wrong = append(wrong, p)
		}
	}
	if len(wrong) > 0 {
		return failed(name, "%v of %d to %d are open and not declared", wrong, from, to)
	}
	return passed(name, "%v of %d to %d are open, all declared", open, from, to)
}

// commandTimeout is how long one command may take.
func commandTimeout(t Target) time.Duration { return 30 * t.Wait }
