package main

import (
	"net/netip"

	"griddle/imagestore/multicast"
	"griddle/initramfs/uplink"
)

// networks are those of this machine, that of the lease first and with its router.
func networks(l *uplink.Lease) []multicast.Network {
	out := []multicast.Network{}
	if addr, ok := netip.AddrFromSlice(l.Prefix.IP.To4()); ok {
		ones, _ := l.Prefix.Mask.Size()
		n := multicast.Network{Interface: l.NIC.Name, Prefix: netip.PrefixFrom(addr, ones),
			Wireless: multicast.Wireless("/sys", l.NIC.Name)}
		if r, ok := netip.AddrFromSlice(l.Router.To4()); ok {
			n.Gateway = r
		}
		out = append(out, n)
	}
	for _, n := range multicast.Networks() {
		if n.Interface != l.NIC.Name {
			out = append(out, n)
		}
	}
	return out
}
