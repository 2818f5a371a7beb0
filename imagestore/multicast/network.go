package multicast

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
)

// Networks returns the networks of this machine's interfaces, without routers.
func Networks() []Network {
	var out []Network
	all, err := net.Interfaces()
	if err != nil {
		return nil
	}
	for _, i := range all {
		if i.Flags&(net.FlagUp|net.FlagMulticast|net.FlagLoopback) != net.FlagUp|net.FlagMulticast {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			continue
		}
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() {
				out = append(out, Network{Interface: i.Name, Prefix: p, Wireless: Wireless("/sys", i.Name)})
			}
		}
	}
	return out
}

// Wireless says whether an interface is wireless. sys is where sysfs is mounted
// (Documentation/ABI/testing/sysfs-class-net, phy80211).
func Wireless(sys, name string) bool {
	for _, f := range []string{"phy80211", "wireless"} {
		if _, err := os.Stat(filepath.Join(sys, "class/net", name, f)); err == nil {
			return true
		}
	}
	return false
}

// Wired returns the networks of all that multicast is tried on: wired ones with IPv4, at most 16.
func Wired(all []Network) []Network {
	var out []Network
	for _, n := range all {
		if !n.Wireless && n.Prefix.IsValid() && n.Prefix.Addr().Is4() {
			out = append(out, n)
		}
	}
	return out[:min(len(out), 16)]
}
