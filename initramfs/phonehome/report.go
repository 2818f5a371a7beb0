package phonehome

import (
	"context"
	"io"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"griddle/appliance/job"
	"griddle/initramfs/newroot"

	"golang.org/x/sys/unix"
)

// reportOf is what this system says of itself. What it does not know is left out.
func reportOf(ctx context.Context, etc string, conf newroot.PhoneHome) job.HomeReport {
	r := job.HomeReport{Root: conf.Root, HostKeys: hostKeys(etc), Addresses: addresses(ctx, conf.URL)}
	r.Hostname, _ = os.Hostname()
	id, _ := os.ReadFile(filepath.Join(etc, "machine-id"))
	r.MachineID = strings.TrimSpace(string(id))
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		r.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	return r.Bounded()
}

// hostKeys are the public keys of the ssh server, by the names that ssh-keygen -A gives them. Other files there are not
// its own: keys of authorities, for example.
func hostKeys(etc string) []string {
	files, _ := filepath.Glob(filepath.Join(etc, "ssh/ssh_host_*_key.pub")) // the pattern is a good one
	var keys []string
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			continue
		}
		b, err := io.ReadAll(io.LimitReader(f, 8<<10))
		f.Close()
		if err == nil {
			keys = append(keys, strings.TrimSpace(string(b)))
		}
	}
	return keys
}

// addresses are those of the interfaces, the one from which the server is reached first.
func addresses(ctx context.Context, server string) []string {
	var out []string
	if u, err := url.Parse(server); err == nil {
		d := net.Dialer{Timeout: 5 * time.Second}
		// This only chooses a route: it sends nothing.
		if c, err := d.DialContext(ctx, "udp", net.JoinHostPort(u.Hostname(), "443")); err == nil {
			out = append(out, c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().String())
			c.Close()
		}
	}
	all, _ := net.InterfaceAddrs()
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			out = append(out, p.Addr().String())
		}
	}
	return out
}
