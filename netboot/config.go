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
	Proxy Mode = iota // another server leases addresses, we tell only boot clients what to boot
	Full              // we are the network's only DHCP server
)

// String is the mode's name in the configuration.
func (m Mode) String() string {
	if m == Full {
		return "full"
	}
	return "proxy"
}

// Config is what a Server is made from. Interface and BootDir are required, in full mode Pool.First, Pool.Last and
// Pool.Journal too.
type Config struct {
	// Interface is the network interface of the provisioning network, such as eth1.
	Interface string
	Mode      Mode
	// ServerIP is which IPv4 address of Interface machines are told; zero means the first one.
	ServerIP netip.Addr
	// HTTPPort is where the caller serves Handler; zero means 8080.
	HTTPPort uint16
	// BootDir has the loaders.
	BootDir string
	// UEFILoader is the loader for UEFI, zero means loader.UEFI; loader.UEFIFallback has network drivers of its own.
	UEFILoader string
	// MenuTimeout is how long a menu waits before the local disk is started; zero means 10 seconds.
	MenuTimeout time.Duration
	// Pool is for full mode.
	Pool Pool
	// ProbeTime is how long full mode listens for another server before it starts; zero means 3 seconds.
	ProbeTime time.Duration
}

// Pool is what is leased in full mode.
type Pool struct {
	// First and Last are the ends of the range, both included and on the interface's network.
	First, Last netip.Addr
	// Reserved gives machines their own addresses.
	Reserved map[[6]byte]netip.Addr
	// Time is how long a lease lasts; zero means an hour.
	Time time.Duration
	// Router and DNS are told to machines if set.
	Router netip.Addr
	DNS    []netip.Addr
	// Journal is the file that remembers the leases.
	Journal string
}

func (c Config) validate() error {
	var errs []error
	if c.Interface == "" {
		errs = append(errs, errors.New("no network interface"))
	}
	if c.BootDir == "" {
		errs = append(errs, errors.New("no boot directory"))
	}
	if c.ServerIP.IsValid() && !c.ServerIP.Is4() {
		errs = append(errs, fmt.Errorf("server address %s is not IPv4", c.ServerIP))
	}
	if c.Mode == Full {
		if !c.Pool.First.Is4() || !c.Pool.Last.Is4() {
			errs = append(errs, errors.New("full DHCP needs a range of IPv4 addresses"))
		}
		if c.Pool.Journal == "" {
			errs = append(errs, errors.New("full DHCP needs a file for its leases"))
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

// openPool opens the leases, never to give out our own address or those of the network itself.
func (c Config) openPool(mine netip.Prefix) (*lease.Pool, error) {
	var errs []error
	for _, a := range []netip.Addr{c.Pool.First, c.Pool.Last} {
		if !mine.Contains(a) {
			errs = append(errs, fmt.Errorf("%s is not on the network %s of %s", a, mine.Masked(), c.Interface))
		}
	}
	if len(errs) > 0 {
		return nil, fmt.Errorf("checking the address pool: %w", errors.Join(errs...))
	}
	exclude := []netip.Addr{mine.Addr(), mine.Masked().Addr(), dhcp.Broadcast(mine)}
	if c.Pool.Router.IsValid() {
		exclude = append(exclude, c.Pool.Router)
	}
	return lease.Open(lease.Config{
		Path: c.Pool.Journal, First: c.Pool.First, Last: c.Pool.Last, Exclude: exclude,
		Reserved: c.Pool.Reserved, Time: c.Pool.Time,
	})
}

func (c Config) dhcp(mine netip.Prefix) dhcp.Config {
	return dhcp.Config{
		ServerIP: mine.Addr(), HTTPPort: c.HTTPPort, BIOSLoader: loader.BIOS, UEFILoader: c.UEFILoader,
		Network: mine.Masked(), Router: c.Pool.Router, DNS: c.Pool.DNS,
	}
}

// leaser is a lease.Pool as the DHCP server wants it.
type leaser struct{ *lease.Pool }

// Commit translates the outcome.
func (l leaser) Commit(mac [6]byte, a netip.Addr) (time.Duration, dhcp.Verdict, error) {
	ttl, out, err := l.Pool.Commit(mac, a)
	switch out {
	case lease.Granted:
		return ttl, dhcp.Granted, err
	case lease.Refused:
		return ttl, dhcp.Refused, err
	}
	return ttl, dhcp.Unknown, err
}
