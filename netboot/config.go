package netboot

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"griddle/netboot/dhcp"
	"griddle/netboot/lease"
	"griddle/netboot/loader"
)

// Mode is how machines get their addresses.
type Mode int

// The modes.
const (
	Proxy Mode = iota // another server leases addresses; this one only tells boot clients what to boot
	Full              // this is the network's only DHCP server
)

// String is the mode's name in the configuration.
func (m Mode) String() string {
	if m == Full {
		return "full"
	}
	return "proxy"
}

// Config is the configuration of a Server. Interface and BootDir are required; full mode also requires Pool.First,
// Pool.Last and Pool.Journal.
type Config struct {
	// Interface is the network interface of the provisioning network, such as eth1.
	Interface string
	Mode      Mode
	// ServerIP is the IPv4 address of Interface that machines use; zero means the first one.
	ServerIP netip.Addr
	// HTTPPort is where the caller serves Handler; zero means 8080.
	HTTPPort uint16
	// BootDir is the directory with the loaders.
	BootDir string
	// UEFILoader is the loader for UEFI; zero means loader.UEFI. loader.UEFIFallback has its own network drivers.
	UEFILoader string
	// MenuTimeout is how long a menu waits before it starts the local disk; zero means 10 seconds.
	MenuTimeout time.Duration
	// Relays are networks behind relay agents whose machines may boot from here; see dhcp.Config.
	Relays []netip.Prefix

	// The rest is for full mode.
	Pool Pool
	// StepDown stops leases to new machines as long as another server is heard that has proved to be a DHCP server.
	StepDown bool
	// ProbeTime is how long full mode looks for another server before it leases; zero means DefaultProbeTime.
	// SettleTime is the additional time if the link came up meanwhile; zero means DefaultSettleTime.
	ProbeTime, SettleTime time.Duration
	// WatchEvery is how often it looks again while it serves; zero means DefaultWatchEvery. After another server was
	// heard it looks every minute, or every WatchEvery if that is less.
	WatchEvery time.Duration
}

// How long and how often the server looks for other servers.
const (
	// DefaultProbeTime is three times what the slowest common server needs: dnsmasq first pings the address and makes
	// its offer 3 s after the question, and the second question may be the first that it hears.
	DefaultProbeTime = 10 * time.Second
	// DefaultSettleTime covers a switch port whose link has just come up: with the spanning tree of IEEE 802.1D it
	// listens and learns for 15 s each before it forwards.
	DefaultSettleTime = 35 * time.Second
	DefaultWatchEvery = 5 * time.Minute
	// firstWatch is when a server that has started asks again, should the port of its switch not have forwarded before.
	firstWatch = 35 * time.Second
)

// withDefaults fills in what is zero.
func (c Config) withDefaults() Config {
	if c.HTTPPort == 0 {
		c.HTTPPort = 8080
	}
	if c.UEFILoader == "" {
		c.UEFILoader = loader.UEFI
	}
	if c.ProbeTime == 0 {
		c.ProbeTime = DefaultProbeTime
	}
	if c.SettleTime == 0 {
		c.SettleTime = DefaultSettleTime
	}
	if c.WatchEvery == 0 {
		c.WatchEvery = DefaultWatchEvery
	}
	return c
}

// Pool describes the leases of full mode.
type Pool struct {
	// First and Last are the ends of the range, both included and on the interface's network.
	First, Last netip.Addr
	// Reserved gives machines their own addresses.
	Reserved map[[6]byte]netip.Addr
	// Time is how long a lease lasts; zero means an hour.
	Time time.Duration
	// Router and DNS are sent to machines if set.
	Router netip.Addr
	DNS    []netip.Addr
	// Journal is the file with the leases.
	Journal string
}

func (c Config) validate() error {
	var errs []error
	if c.Interface == "" {
		errs = append(errs, errors.New("the network interface is missing"))
	}
	if c.BootDir == "" {
		errs = append(errs, errors.New("the boot directory is missing"))
	}
	if c.ServerIP.IsValid() && !c.ServerIP.Is4() {
		errs = append(errs, fmt.Errorf("server address %s is not IPv4", c.ServerIP))
	}
	for _, p := range c.Relays {
		if !p.IsValid() || !p.Addr().Is4() || p.Bits() < 8 || p.Addr().IsLoopback() || p.Addr().IsMulticast() {
			errs = append(errs, fmt.Errorf("network of relay agents %s is not an IPv4 network such as 10.1.0.0/16", p))
		}
	}
	if c.Mode == Full {
		if !c.Pool.First.Is4() || !c.Pool.Last.Is4() {
			errs = append(errs, errors.New("full DHCP needs a range of IPv4 addresses"))
		}
		if c.Pool.Journal == "" {
			errs = append(errs, errors.New("full DHCP needs a journal file for its leases"))
		}
	}
	return errors.Join(errs...)
}

// address finds our address on the interface, and its network.
func address(ifi *net.Interface, want netip.Addr) (netip.Prefix, error) {
	addrs, err := ifi.Addrs()
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("listing the addresses of %s: %w", ifi.Name, err)
	}
	for _, a := range addrs {
		p, err := netip.ParsePrefix(a.String())
		if err != nil || !p.Addr().Is4() {
			continue
		}
		if !want.IsValid() || p.Addr() == want {
			return p, nil
		}
	}
	if want.IsValid() {
		return netip.Prefix{}, fmt.Errorf("interface %s does not have the address %s", ifi.Name, want)
	}
	return netip.Prefix{}, fmt.Errorf("interface %s has no IPv4 address", ifi.Name)
}

// pool is the range to lease from, without this server's address and the addresses of the network itself.
func (c Config) pool(mine netip.Prefix) (lease.Config, error) {
	var errs []error
	for _, a := range []netip.Addr{c.Pool.First, c.Pool.Last} {
		if !mine.Contains(a) {
			errs = append(errs, fmt.Errorf("%s is not on the network %s of %s", a, mine.Masked(), c.Interface))
		}
	}
	if len(errs) > 0 {
		return lease.Config{}, fmt.Errorf("checking the address pool: %w", errors.Join(errs...))
	}
	exclude := []netip.Addr{mine.Addr(), mine.Masked().Addr(), dhcp.Broadcast(mine)}
	if c.Pool.Router.IsValid() {
		exclude = append(exclude, c.Pool.Router)
	}
	return lease.Config{
		Path: c.Pool.Journal, First: c.Pool.First, Last: c.Pool.Last, Exclude: exclude,
		Reserved: c.Pool.Reserved, Time: c.Pool.Time,
	}, nil
}

func (c Config) dhcp(mine netip.Prefix) dhcp.Config {
	return dhcp.Config{
		ServerIP: mine.Addr(), HTTPPort: c.HTTPPort, BIOSLoader: loader.BIOS, UEFILoader: c.UEFILoader,
		Network: mine.Masked(), Relays: c.Relays, Router: c.Pool.Router, DNS: c.Pool.DNS,
	}
}

// leaser is a lease.Pool as the DHCP server wants it. While pausedError gives a reason, only machines that hold a lease
// keep it.
type leaser struct {
	*lease.Pool
	pausedError func() error
}

// Offer asks pausedError first.
func (l leaser) Offer(mac [6]byte, want netip.Addr) (netip.Addr, time.Duration, error) {
	if err := l.pausedError(); err != nil && !l.Holds(mac) {
		return netip.Addr{}, 0, err
	}
	return l.Pool.Offer(mac, want)
}

// Commit asks pausedError first, and translates the outcome.
func (l leaser) Commit(mac [6]byte, a netip.Addr) (time.Duration, dhcp.Verdict, error) {
	if l.pausedError() != nil && !l.Holds(mac) {
		// A machine that chose an earlier offer of ours gets a refusal and asks again. One that has its address from
		// another server gets no answer.
		return 0, dhcp.Unknown, nil
	}
	ttl, out, err := l.Pool.Commit(mac, a)
	switch out {
	case lease.Granted:
		return ttl, dhcp.Granted, err
	case lease.Refused:
		return ttl, dhcp.Refused, err
	}
	return ttl, dhcp.Unknown, err
}
