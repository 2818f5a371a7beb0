package main

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
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

// driverOf is the name of the driver that a network interface has, or "".
func driverOf(nic string) string {
	to, err := os.Readlink(filepath.Join("/sys/class/net", nic, "device", "driver"))
	if err != nil {
		return ""
	}
	return filepath.Base(to)
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

// driverless lists the PCI devices that are network controllers (class 02) and have no driver, as "VENDOR:DEVICE".
func driverless(sys fs.FS) []string {
	const dir = "bus/pci/devices"
	found, err := fs.ReadDir(sys, dir)
	if err != nil {
		return nil // no PCI bus
	}
	value := func(device, name string) string {
		b, _ := fs.ReadFile(sys, path.Join(dir, device, name))
		return strings.TrimPrefix(strings.TrimSpace(string(b)), "0x")
	}
	var out []string
	for _, f := range found {
		if !strings.HasPrefix(value(f.Name(), "class"), "02") {
			continue
		}
		if _, err := fs.Stat(sys, path.Join(dir, f.Name(), "driver")); err == nil {
			continue
		}
		out = append(out, value(f.Name(), "vendor")+":"+value(f.Name(), "device"))
	}
	return out
}

func noDriver(ids []string) string {
	if len(ids) == 0 {
		return "none found"
	}
	return "none found; without a driver: PCI " + strings.Join(ids, ", ")
}

// reason is what the system said of a connection that failed, short enough for one line of
// the screen.
func reason(err error) string {
	var errno unix.Errno
	var timeout interface{ Timeout() bool }
	switch {
	case errors.As(err, &errno):
		return errno.Error()
	case errors.As(err, &timeout) && timeout.Timeout():
		return "no answer in time"
	}
	return "no answer"
}
