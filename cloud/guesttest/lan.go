package guesttest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"

	"griddle/appliance/e2e/machinetest"

	"github.com/vishvananda/netns"
)

// LAN is a network namespace with one wire, on which a guest is.
type LAN struct {
	Host  netip.Prefix // our address on the wire
	Host6 netip.Prefix

	name string
	ns   netns.NsHandle
}

// tap is the wire's end in the namespace.
const tap = "guest0"

// NewLAN makes a namespace, which has our process ID in its name and is removed by Close.
func NewLAN(ctx context.Context) (*LAN, error) {
	l := &LAN{
		Host: netip.MustParsePrefix("10.99.0.1/24"), Host6: netip.MustParsePrefix("fd00:99::1/64"),
		name: fmt.Sprintf("gdguest%d", os.Getpid()), ns: netns.None(),
	}
	in := []string{"-n", l.name}
	for _, args := range [][]string{
		{"netns", "add", l.name},
		append(in, "link", "set", "lo", "up"),
		append(in, "tuntap", "add", tap, "mode", "tap"),
		append(in, "link", "set", tap, "up"),
		append(in, "address", "add", l.Host.String(), "dev", tap),
		append(in, "address", "add", l.Host6.String(), "dev", tap, "nodad"),
	} {
		if _, err := machinetest.Run(ctx, "ip", args...); err != nil {
			return nil, errors.Join(err, l.Close())
		}
	}
	ns, err := netns.GetFromName(l.name)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("entering the namespace %s: %w", l.name, err), l.Close())
	}
	l.ns = ns
	return l, nil
}

// Close deletes the namespace and what is in it.
func (l *LAN) Close() error {
	if l.ns.IsOpen() {
		_ = l.ns.Close()
	}
	_, err := machinetest.Run(context.Background(), "ip", "netns", "delete", l.name)
	return err
}

// Command returns a program that runs in the namespace, and ends with ctx.
func (l *LAN) Command(ctx context.Context, program string, args ...string) *exec.Cmd {
	// ip-netns execs the program: the process ID stays the same.
	return exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", l.name, program}, args...)...)
}

// In runs f on a thread that is in the namespace: sockets that it makes are there.
func (l *LAN) In(f func() error) error {
	done := make(chan error, 1)
	go func() {
		// Never unlocked: the thread ends with the goroutine, and nobody gets one in the wrong namespace.
		runtime.LockOSThread()
		if err := netns.Set(l.ns); err != nil {
			done <- fmt.Errorf("entering the namespace %s: %w", l.name, err)
			return
		}
		done <- f()
	}()
	return <-done
}

// DialContext connects from the namespace. The address must have an IP address.
func (l *LAN) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	var conn net.Conn
	err := l.In(func() (err error) {
		conn, err = (&net.Dialer{}).DialContext(ctx, network, address)
		return err
	})
	return conn, err
}
