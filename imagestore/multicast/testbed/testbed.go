// Package testbed is a switch with a sender and receivers on one computer: network namespaces whose wires lose,
// delay, repeat and limit what goes over them. Benchmarks and tests of multicast run in it, with Griddle and with
// other programs.
//
// Start with Open. A Host runs commands and functions in its namespace.
//
//	namespace PREFIX-switch      bridge br0, which floods multicast as a switch without IGMP snooping does
//	namespace PREFIX-sender      eth0 10.87.0.1/24, shaped to Options.Rate
//	namespace PREFIX-rN          eth0 10.87.0.(10+N)/24, N from 1, with Wire
//
// It needs root, and the programs ip, tc, nft and ethtool. One frame is one packet: segmentation offload is off, so
// that losses and rates are of frames. Losses are nftables' numgen on the way in; rates are tc's tbf; delays,
// repetition and disorder are this program's, which carries frames from one side to the other, and uses processor
// time for it.
//
// Close deletes everything. If the program dies without it, the next Open does so.
package testbed

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/vishvananda/netns"
)

// Options say what the bed has.
type Options struct {
	Receivers int   // 1 to 200
	Rate      int64 // of the sender's port, bits per second with Ethernet headers; 0 is not shaped
}

// Wire is what happens to frames on their way to a receiver. The zero value is a good wire.
type Wire struct {
	Loss      float64       // 0 to 1: each frame independently
	Burst     int           // frames in a row that are lost of every Every; receivers lose different ones
	Every     int           // 0 loses no bursts
	Rate      int64         // of the switch's port to it, bits per second; 0 is not shaped
	Buffer    int           // bytes that the port holds when Rate is set; 0 means 200 kB
	Delay     time.Duration // of each frame
	Jitter    time.Duration // at random on top, which puts frames into disorder
	Duplicate float64       // 0 to 1: frames that come twice
}

func (w Wire) carried() bool { return w.Delay > 0 || w.Jitter > 0 || w.Duplicate > 0 }

// Bed is the switch and its hosts.
type Bed struct {
	Sender    *Host
	Receivers []*Host

	prefix string
	undo   []func() error
}

// Host is one namespace.
type Host struct {
	Name    string
	Address netip.Prefix
	bed     *Bed
}

const namePrefix = "mcbed-"

// Open builds a bed. It needs root.
func Open(ctx context.Context, o Options) (*Bed, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("opening a test bed: network namespaces need root")
	}
	if o.Receivers < 1 || o.Receivers > 200 {
		return nil, fmt.Errorf("opening a test bed: %d receivers are not between 1 and 200", o.Receivers)
	}
	for _, p := range []string{"ip", "tc", "nft", "ethtool"} {
		if _, err := exec.LookPath(p); err != nil {
			return nil, fmt.Errorf("opening a test bed: %w; apt-get install iproute2 nftables ethtool", err)
		}
	}
	sweep()
	b := &Bed{prefix: fmt.Sprintf("%s%d-%d", namePrefix, os.Getpid(), beds.Add(1))}
	if err := b.build(ctx, o); err != nil {
		return nil, fmt.Errorf("opening a test bed: %w", errors.Join(err, b.Close()))
	}
	return b, nil
}

// beds counts those of this process, whose names must differ.
var beds atomic.Int64

// sweep takes away what processes left that are gone.
func sweep() {
	left, _ := filepath.Glob("/run/netns/" + namePrefix + "*")
	for _, f := range left {
		pid, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(f), namePrefix), "-")
		if _, err := strconv.Atoi(pid); err != nil {
			continue
		}
		if _, err := os.Stat("/proc/" + pid); errors.Is(err, os.ErrNotExist) {
			_ = run(context.Background(), "ip", "netns", "delete", filepath.Base(f))
		}
	}
}

func (b *Bed) build(ctx context.Context, o Options) error {
	sw := b.prefix + "-switch"
	if err := b.namespace(ctx, sw); err != nil {
		return err
	}
	if err := run(ctx, "ip", "-n", sw, "link", "add", "br0", "up", "type", "bridge", "stp_state", "0",
		"forward_delay", "0", "mcast_snooping", "0"); err != nil {
		return err
	}
	var err error
	if b.Sender, err = b.host(ctx, "sender", "10.87.0.1/24"); err != nil {
		return err
	}
	if err := b.Sender.Shape(ctx, o.Rate); err != nil {
		return err
	}
	for i := 1; i <= o.Receivers; i++ {
		h, err := b.host(ctx, fmt.Sprintf("r%d", i), fmt.Sprintf("10.87.0.%d/24", 10+i))
		if err != nil {
			return err
		}
		b.Receivers = append(b.Receivers, h)
	}
	return nil
}

func (b *Bed) namespace(ctx context.Context, name string) error {
	if err := run(ctx, "ip", "netns", "add", name); err != nil {
		return err
	}
	b.undo = append(b.undo, func() error { return run(context.Background(), "ip", "netns", "delete", name) })
	return run(ctx, "ip", "-n", name, "link", "set", "lo", "up")
}

func (b *Bed) host(ctx context.Context, name, address string) (*Host, error) {
	h := &Host{Name: name, Address: netip.MustParsePrefix(address), bed: b}
	sw := b.prefix + "-switch"
	if err := b.namespace(ctx, h.namespace()); err != nil {
		return nil, err
	}
	for _, args := range [][]string{
		{"ip", "-n", sw, "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", h.namespace()},
		{"ip", "netns", "exec", sw, "ethtool", "-K", name, "tso", "off", "gso", "off", "gro", "off"},
		{"ip", "netns", "exec", h.namespace(), "ethtool", "-K", "eth0", "tso", "off", "gso", "off", "gro", "off"},
		{"ip", "-n", sw, "link", "set", name, "master", "br0", "up"},
		{"ip", "-n", h.namespace(), "address", "add", address, "broadcast", "+", "dev", "eth0"},
		{"ip", "-n", h.namespace(), "link", "set", "eth0", "up"},
		{"ip", "-n", h.namespace(), "route", "add", "224.0.0.0/4", "dev", "eth0"},
	} {
		if err := run(ctx, args[0], args[1:]...); err != nil {
			return nil, err
		}
	}
	return h, nil
}

// Close ends what carries frames and takes the namespaces away.
func (b *Bed) Close() error {
	var errs error
	for i := len(b.undo) - 1; i >= 0; i-- {
		errs = errors.Join(errs, b.undo[i]())
	}
	b.undo = nil
	return errs
}

func (h *Host) namespace() string { return h.bed.prefix + "-" + h.Name }

// Command is a command that runs in the host's namespace. It ends with this process, and when ctx ends.
func (h *Host) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", h.namespace(), name}, args...)...)
	dieWithParent(c)
	return c
}

// Do calls f on a thread in the host's namespace. Sockets that f opens stay in it; goroutines that it starts do not.
func (h *Host) Do(f func() error) error {
	done := make(chan error, 1)
	go func() {
		// The thread is thrown away with the goroutine where it could not be brought back.
		runtime.LockOSThread()
		home, err := netns.Get()
		if err != nil {
			done <- err
			return
		}
		defer home.Close()
		there, err := netns.GetFromName(h.namespace())
		if err != nil {
			done <- err
			return
		}
		defer there.Close()
		if err := netns.Set(there); err != nil {
			done <- err
			return
		}
		err = f()
		if netns.Set(home) == nil {
			runtime.UnlockOSThread()
		}
		done <- err
	}()
	return <-done
}

// Sent is how many bytes left the host, Ethernet headers included.
func (h *Host) Sent() (int64, error) {
	out, err := exec.Command("ip", "netns", "exec", h.namespace(),
		"cat", "/sys/class/net/eth0/statistics/tx_bytes").Output()
	if err != nil {
		return 0, fmt.Errorf("reading what %s sent: %w", h.Name, err)
	}
	return strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
}

func run(ctx context.Context, name string, args ...string) error {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
