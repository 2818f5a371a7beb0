package appliance

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"griddle/appliance/httpserver"
)

// network is the interface that is served.
type network struct {
	iface  string
	prefix netip.Prefix // our address with the network's mask
}

// findNetwork looks up the interface and our address on it; want is the zero Addr for the first one.
func findNetwork(name string, want netip.Addr) (network, error) {
	if name == "" {
		return network{}, Advice{errors.New("no network interface is set"),
			"Give the provisioning network's interface with --interface IFACE; this host has " + interfaces() + "."}
	}
	i, err := net.InterfaceByName(name)
	if err != nil {
		return network{}, Advice{fmt.Errorf("finding the interface %s: %w", name, err),
			"This host has " + interfaces() + "."}
	}
	if i.Flags&net.FlagUp == 0 {
		return network{}, Advice{fmt.Errorf("the interface %s is down", name),
			"Bring it up with `ip link set " + name + " up`."}
	}
	addrs, err := i.Addrs()
	if err != nil {
		return network{}, fmt.Errorf("reading the addresses of %s: %w", name, err)
	}
	var have []string
	for _, a := range addrs {
		p, err := netip.ParsePrefix(a.String())
		if err != nil || !p.Addr().Is4() {
			continue
		}
		have = append(have, p.Addr().String())
		if p.Addr() == want || !want.IsValid() {
			return network{name, p}, nil
		}
	}
	if want.IsValid() {
		return network{}, Advice{fmt.Errorf("%s is not an address of %s, which has %s", want, name, orNone(have)),
			"Correct the key address, or omit it."}
	}
	return network{}, Advice{fmt.Errorf("the interface %s has no IPv4 address", name),
		"Give it one with `ip address add 10.0.0.1/24 dev " + name + "`."}
}

func interfaces() string {
	var names []string
	all, err := net.Interfaces()
	if err != nil {
		return "unknown interfaces, because listing them failed: " + err.Error()
	}
	for _, i := range all {
		names = append(names, i.Name)
	}
	return orNone(names)
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// listen opens a TCP port, and says of one that cannot be opened who holds it and what to do.
func (s *server) listen(ctx context.Context, port int, what, flag string) (net.Listener, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp4", netip.AddrPortFrom(s.addr, uint16(port)).String())
	if err != nil {
		return nil, portAdvice(err, what, port, flag)
	}
	return httpserver.Limit(l, s.limits.conns, s.callers.acquainted), nil
}

// portAdvice explains why a TCP port could not be opened. flag is the one that takes another port.
func portAdvice(err error, what string, port int, flag string) error {
	err = fmt.Errorf("opening TCP port %d for %s: %w", port, what, err)
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		who := holder(port)
		if who == "" {
			who = fmt.Sprintf("another program (`ss -lntp sport = :%d` says which)", port)
		}
		return Advice{err, fmt.Sprintf("%s uses the port. Stop it, or choose another port with --%s PORT.", who, flag)}
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return Advice{err, fmt.Sprintf("The capability CAP_NET_BIND_SERVICE is missing: run as root, "+
			"grant it with setcap or AmbientCapabilities=, or choose a port above 1023 with --%s PORT.", flag)}
	}
	return err
}

// holder names the process that listens on a TCP port, or is "" where it cannot be seen. Source: proc(5),
// /proc/net/tcp (state 0A is listening) and /proc/PID/fd.
func holder(port int) string {
	inode := ""
	for _, table := range []string{"tcp", "tcp6"} {
		b, err := os.ReadFile("/proc/self/net/" + table)
		if err != nil {
			continue
		}
		for _, line := range strings.Split(string(b), "\n") {
			f := strings.Fields(line)
			if len(f) > 9 && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", port)) && f[3] == "0A" {
				inode = f[9]
			}
		}
	}
	if inode == "" {
		return ""
	}
	fds, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return ""
	}
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err != nil || to != "socket:["+inode+"]" {
			continue
		}
		pid := strings.Split(fd, "/")[2]
		name, err := os.ReadFile("/proc/" + pid + "/comm")
		if err != nil {
			return "pid " + pid
		}
		return fmt.Sprintf("%s (pid %s)", strings.TrimSpace(string(name)), pid)
	}
	return ""
}
