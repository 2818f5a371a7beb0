package multicast

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
)

// Networks are this machine's, by its interfaces; routers are not known here.
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

// Wireless says whether an interface is (Documentation/ABI/testing/sysfs-class-net, phy80211).
func Wireless(sys, name string) bool {
	for _, f := range []string{"phy80211", "wireless"} {
		if _, err := os.Stat(filepath.Join(sys, "class/net", name, f)); err == nil {
			return true
		}
	}
	return false
}

// Wired are the IPv4 networks that multicast is tried on, at most 16 of all.
func Wired(all []Network) []Network {
	var out []Network
	for _, n := range all {
		if !n.Wireless && n.Prefix.IsValid() && n.Prefix.Addr().Is4() {
			out = append(out, n)
		}
	}
	return out[:min(len(out), 16)]
}
