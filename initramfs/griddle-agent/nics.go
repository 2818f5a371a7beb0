package main

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
)

// nic is a network interface with hardware behind it.
type nic struct {
	name    string
	mac     string
	driver  string
	carrier bool
	link    netlink.Link
}

// nics lists the wired interfaces, those with the MAC address first before the others.
func nics(first string) ([]nic, error) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil, err
	}
	var out []nic
	for _, l := range links {
		a := l.Attrs()
		if a.Flags&net.FlagLoopback != 0 || len(a.HardwareAddr) != 6 || a.EncapType != "ether" {
			continue
		}
		if _, err := os.Stat(filepath.Join("/sys/class/net", a.Name, "device")); err != nil {
			continue // made by software: a bridge, a dummy
		}
		out = append(out, nic{
			name: a.Name, mac: a.HardwareAddr.String(), driver: driverOf(a.Name),
			carrier: a.OperState == netlink.OperUp || a.RawFlags&0x10000 != 0, link: l, // IFF_LOWER_UP
		})
	}
	order(out, first)
	return out, nil
}

// order puts the interface that the machine booted from first, then those with a cable, then the rest; by name
// within each.
func order(list []nic, first string) {
	rank := func(n nic) int {
		switch {
		case n.mac == first:
			return 0
		case n.carrier:
			return 1
		}
		return 2
	}
	slices.SortStableFunc(list, func(a, b nic) int {
		if d := rank(a) - rank(b); d != 0 {
			return d
		}
		return strings.Compare(a.name, b.name)
	})
}

// bootMAC is the MAC address of the interface that the machine booted from, from the kernel command line: ours,
// or the one that PXELINUX and GRUB pass on (BOOTIF=01-52-54-00-…, 01 being Ethernet), lower case with colons.
func bootMAC(cmdline string) string {
	for _, arg := range strings.Fields(cmdline) {
		if v, ok := strings.CutPrefix(arg, "griddle.mac="); ok {
			if m, err := net.ParseMAC(v); err == nil {
				return m.String()
			}
		}
		if v, ok := strings.CutPrefix(arg, "BOOTIF=01-"); ok {
			if m, err := net.ParseMAC(v); err == nil {
				return m.String()
			}
		}
	}
	return ""
}

func describe(list []nic) string {
	var out []string
	for _, n := range list {
		s := n.name + " (" + n.driver + ", " + n.mac
		if !n.carrier {
			s += ", no cable"
		}
		out = append(out, s+")")
	}
	return strings.Join(out, ", ")
}
