package uplink

import (
	"io/fs"
	"net"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
)

// NIC is a wired network interface with hardware behind it.
type NIC struct {
	Name    string
	MAC     string // six bytes, lower case with colons
	Driver  string // "" for none
	Carrier bool   // it has a link
	link    netlink.Link
}

// NICs lists the wired interfaces, those with the MAC address first before the others.
func NICs(first string) ([]NIC, error) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil, err
	}
	var out []NIC
	for _, l := range links {
		a := l.Attrs()
		if a.Flags&net.FlagLoopback != 0 || len(a.HardwareAddr) != 6 || a.EncapType != "ether" {
			continue
		}
		if _, err := os.Stat(filepath.Join("/sys/class/net", a.Name, "device")); err != nil {
			continue // made by software: a bridge, a dummy
		}
		out = append(out, NIC{
			Name: a.Name, MAC: a.HardwareAddr.String(), Driver: driverOf(a.Name),
			Carrier: a.OperState == netlink.OperUp || a.RawFlags&0x10000 != 0, link: l, // IFF_LOWER_UP
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
func order(list []NIC, first string) {
	rank := func(n NIC) int {
		switch {
		case n.MAC == first:
			return 0
		case n.Carrier:
			return 1
		}
		return 2
	}
	slices.SortStableFunc(list, func(a, b NIC) int {
		if d := rank(a) - rank(b); d != 0 {
			return d
		}
		return strings.Compare(a.Name, b.Name)
	})
}

// BootMAC is the MAC address of the interface that the machine booted from, from the kernel command line: ours,
// or the one that PXELINUX and GRUB pass on (BOOTIF=01-52-54-00-…, 01 being Ethernet), lower case with colons.
func BootMAC(cmdline string) string {
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

func describe(list []NIC) string {
	var out []string
	for _, n := range list {
		s := n.Name + " (" + n.Driver + ", " + n.MAC
		if !n.Carrier {
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
