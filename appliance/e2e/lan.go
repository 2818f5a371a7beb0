package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"

	"griddle/appliance/e2e/machinetest"
)

// namePrefix starts the name of every namespace and directory that a room makes; the process ID follows, so that rooms
// of several programs live side by side and what a dead one left is known.
const namePrefix = "griddle-"

func newPrefix() string {
	return fmt.Sprintf("%s%d-%d", namePrefix, os.Getpid(), rooms.Add(1))
}

// rooms counts the rooms of this process: two rooms of one process must not share names.
var rooms atomic.Int64

// sweep takes away what rooms left whose program is gone: their namespaces, whose links go with them, and their mounts.
// The processes in them ended with the program.
func sweep() {
	left, _ := filepath.Glob("/run/netns/" + namePrefix + "*")
	for _, f := range left {
		if ofTheDead(filepath.Base(f)) {
			_, _ = machinetest.Run(context.Background(), "ip", "netns", "delete", filepath.Base(f))
		}
	}
	mounts, _ := os.ReadFile("/proc/self/mounts")
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); len(f) > 1 && ofTheDead(filepath.Base(filepath.Dir(f[1]))) {
			_ = syscall.Unmount(f[1], 0)
		}
	}
}

// ofTheDead says whether a name begins with namePrefix and the ID of a process that is not there.
func ofTheDead(name string) bool {
	rest, ours := strings.CutPrefix(name, namePrefix)
	pid, _, _ := strings.Cut(rest, "-")
	if _, err := strconv.Atoi(pid); !ours || err != nil {
		return false
	}
	_, err := os.Stat("/proc/" + pid)
	return os.IsNotExist(err)
}

// makeLAN makes the bridge in a namespace of its own: no address of the LAN is ever in the host's namespace, and a
// machine can reach nothing but the LAN.
func (r *Room) makeLAN(ctx context.Context) error {
	if err := r.makeNamespace(ctx, "lan"); err != nil {
		return err
	}
	if err := r.ip(ctx, "lan", "link", "add", "br0", "type", "bridge", "stp_state", "0",
		"forward_delay", "0"); err != nil {
		return err
	}
	if err := r.ip(ctx, "lan", "link", "set", "br0", "up"); err != nil {
		return err
	}
	return r.makeHost(ctx, "server", ServerAddress)
}

// makeHost makes a namespace whose eth0 is on the bridge.
func (r *Room) makeHost(ctx context.Context, name, address string) error {
	if err := r.makeNamespace(ctx, name); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", r.namespace(name)},
		{"link", "set", name, "master", "br0", "up"},
	} {
		if err := r.ip(ctx, "lan", args...); err != nil {
			return err
		}
	}
	if err := r.ip(ctx, name, "address", "add", address+prefixLength, "dev", "eth0"); err != nil {
		return err
	}
	return r.ip(ctx, name, "link", "set", "eth0", "up")
}

// makeTap makes a port for a machine on the bridge; QEMU, started in the lan namespace, opens it by name.
func (r *Room) makeTap(ctx context.Context, name string) error {
	if err := r.ip(ctx, "lan", "tuntap", "add", name, "mode", "tap"); err != nil {
		return err
	}
	return r.ip(ctx, "lan", "link", "set", name, "master", "br0", "up")
}

func (r *Room) makeNamespace(ctx context.Context, name string) error {
	ns := r.namespace(name)
	if _, err := machinetest.Run(ctx, "ip", "netns", "add", ns); err != nil {
		return err
	}
	r.onClose(func() error {
		_, err := machinetest.Run(context.Background(), "ip", "netns", "delete", ns)
		return err
	})
	return r.ip(ctx, name, "link", "set", "lo", "up")
}

func (r *Room) namespace(name string) string { return r.prefix + "-" + name }

// ip runs ip(8) inside a namespace of the room.
func (r *Room) ip(ctx context.Context, name string, args ...string) error {
	_, err := machinetest.Run(ctx, "ip", append([]string{"-n", r.namespace(name)}, args...)...)
	return err
}

// startLANServer starts dnsmasq as the DHCP server that was on the LAN before griddle came.
func (r *Room) startLANServer(ctx context.Context) error {
	if err := r.makeHost(ctx, "dhcp", dhcpAddress); err != nil {
		return err
	}
	p, err := r.start("dnsmasq", "dhcp", "dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--port=0",
		"--interface=eth0", "--bind-interfaces", "--log-dhcp", "--no-ping", "--user=root", "--pid-file",
		"--dhcp-authoritative", "--dhcp-range="+firstLease+","+lastLease+",1h",
		"--dhcp-leasefile="+r.path("dnsmasq.leases"))
	if err != nil {
		return err
	}
	_, err = p.Output.Wait(ctx, `DHCP, IP range`)
	return err
}

// LANServer puts another DHCP server on the LAN, one that knows nothing of network boot. Without one, griddle has to
// be the LAN's DHCP server.
func (r *Room) LANServer(ctx context.Context) error {
	if err := r.startLANServer(ctx); err != nil {
		return fmt.Errorf("starting the LAN's DHCP server: %w", err)
	}
	r.logf("dnsmasq is the DHCP server of the LAN")
	return nil
}
