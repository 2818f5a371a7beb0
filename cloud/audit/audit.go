// Package audit probes a running server, from outside and through ssh, and says of each point of the secure state
// whether it holds.
//
// Call Run. What is seen is gathered by a few commands that read, each decided about by a function that has only
// their output, so that the decisions can be tested with literals. Nothing on the server is changed. No hash of a
// password leaves the server.
//
// A point that could not be looked at has failed: Seen says why.
package audit

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/crypto/ssh"
)

// Want is what was declared for the server.
type Want struct {
	Admin   string
	Users   []User
	SSHPort uint16 // as the server itself has it, which a hypervisor may forward from another
	Ports   []Port // besides ssh
	Mounts  []Mount
	Zone    string // empty: any
	NTP     []string
	Forward bool // forwarded packets are not dropped
	Inside  bool // some networks are let in to every port

	Hostname string // empty: any

	// Loose: the secure state was not declared. Points that it alone asks for are looked at and noted.
	Loose       bool
	NoPasswords bool // with Loose: passwords for ssh were declared off all the same
	NoRoot      bool // with Loose: likewise, logins of root through ssh
}

// User is a declared login.
type User struct {
	Name  string
	Sudo  bool
	Local bool // has no key, so ssh does not let it in
}

// Port is a declared range of ports; audits look at tcp from outside, and at all in the rules.
type Port struct {
	Protocol string // tcp, udp or icmp
	From, To uint16
}

// Mount is a data disk.
type Mount struct {
	Path  string
	Label string // of its filesystem; empty: any
}

// Target is how the server is reached.
type Target struct {
	SSH     netip.AddrPort // where Admin logs in
	HostKey ssh.PublicKey  // the only one that is accepted
	Signer  ssh.Signer     // Admin's key

	// Scan is the address whose ports are tried; invalid where there is none that shows the server itself, as behind
	// a hypervisor's forwarded port.
	Scan     netip.Addr
	From, To uint16 // the ports that are tried, inclusive

	// Dial connects, and net.Dialer's DialContext is used where it is nil.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Wait is how long a port may take to answer; 0 for 2 s.
	Wait time.Duration
}

// Point is one thing that was looked at.
type Point struct {
	Name string `json:"name"`
	OK   bool   `json:"ok"`
	Note bool   `json:"note,omitempty"` // it does not hold, and was not declared
	Seen string `json:"seen"`           // in a few words
}

// Run probes the server. The error says that it could not be logged in to, in which case the points are those that
// were seen from outside; points that failed are not an error.
func Run(ctx context.Context, t Target, w Want) ([]Point, error) {
	if t.Dial == nil {
		t.Dial = (&net.Dialer{}).DialContext
	}
	if t.Wait == 0 {
		t.Wait = 2 * time.Second
	}
	if t.HostKey == nil || t.Signer == nil {
		return nil, errors.New("auditing: a host key and a key to log in with are needed")
	}
	points, err := outside(ctx, t, w)
	if err != nil {
		return points, fmt.Errorf("auditing %s: %w", t.SSH, err)
	}
	inner, err := inside(ctx, t, w)
	points = append(points, inner...)
	if err != nil {
		return points, fmt.Errorf("auditing %s: %w", t.SSH, err)
	}
	return points, nil
}

// Failed returns the points that do not hold although they were declared.
func Failed(points []Point) []Point {
	return slices.DeleteFunc(slices.Clone(points), func(p Point) bool { return p.OK || p.Note })
}

// weigh notes points of the secure state that do not hold where it was not declared.
func (w Want) weigh(declared bool, points ...Point) []Point {
	for i := range points {
		points[i].Note = w.Loose && !declared && !points[i].OK
	}
	return points
}

func passed(name, format string, args ...any) Point {
	return Point{Name: name, OK: true, Seen: fmt.Sprintf(format, args...)}
}

func failed(name, format string, args ...any) Point {
	return Point{Name: name, Seen: fmt.Sprintf(format, args...)}
}
