package netboot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/insomniacslk/dhcp/iana"
	"golang.org/x/sync/errgroup"

	"griddle/netboot/dhcp"
	"griddle/netboot/lease"
	"griddle/netboot/loader"
	"griddle/netboot/tftp"
)

// Observer gets reports on booting machines. Its methods must not block for long. They are called from several
// goroutines.
type Observer interface {
	// Seen reports what a machine that boots from the network did and how it was answered, in a few words.
	Seen(m Machine, what string)
	// Refused reports that a machine asked to boot and got no answer, and why, in a few words. It is called at most
	// once a minute for each machine.
	Refused(m Machine, why string)
}

// Server answers DHCP, TFTP and router solicitations on one interface; its Handler answers HTTP. Listen makes one.
type Server struct {
	conf    Config // as Listen got it; config has what Reload changed
	newer   atomic.Pointer[Config]
	mine    netip.Prefix
	booter  Booter
	observe Observer
	log     *slog.Logger
	loaders loaders

	dhcp   dhcp.Server
	tftp   tftp.Server
	routes *routes
	pool   *lease.Pool
	port69 *net.UDPConn
	device *device // the first one; Run goes on from it

	links      *links
	renew      chan struct{} // asks for another device
	advertiser atomic.Pointer[solicitationConn]

	refusals  refusals
	notices   notices
	others    others
	paused    atomic.Pointer[pauseReason] // why no new leases are given, nil if they are
	suspected chan struct{}               // a server was heard that answered no question of ours
	forwards  chan struct{}               // a machine was heard while none gets a lease: the link passes packets on

	scripts, scriptErr, badScripts counter
	closing                        sync.Once
	closed                         error
}

// loaders are the loaders of the last Load that went well.
type loaders struct{ set atomic.Pointer[loader.Set] }

// Open returns the content of a loader.
func (l *loaders) Open(name string) (*bytes.Reader, error) { return l.set.Load().Open(name) }

// Listen checks c, loads the loaders and opens every socket. In full mode it also makes sure that no other DHCP server
// answers, which takes ProbeTime; if the link is not up yet, Run does this later and leases nothing before. observe may
// be nil. An error names the port and the program that uses it, or the missing capability; [OtherServerError] means
// that another server answers. After Listen call Run or Close.
func Listen(ctx context.Context, c Config, b Booter, observe Observer, log *slog.Logger) (*Server, error) {
	c = c.withDefaults()
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("checking the network boot configuration: %w", err)
	}
	ifi, err := net.InterfaceByName(c.Interface)
	if err != nil {
		return nil, fmt.Errorf("finding the interface %s: %w", c.Interface, err)
	}
	mine, err := address(ifi, c.ServerIP)
	if err != nil {
		return nil, err
	}
	set, err := loader.Load(c.BootDir, loader.BIOS, c.UEFILoader)
	if err != nil {
		return nil, err
	}
	s := &Server{conf: c, mine: mine, booter: b, observe: observe, log: log, routes: newRoutes(), links: newLinks(),
		renew: make(chan struct{}, 1), suspected: make(chan struct{}, 1), forwards: make(chan struct{}, 1)}
	s.loaders.set.Store(set)
	s.dhcp.Config, s.dhcp.Log, s.dhcp.Observe = c.dhcp(mine), log, s.sawRequest
	s.tftp.Files, s.tftp.Log = &s.loaders, log
	if err := s.open(ctx, ifi); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// config is the configuration as it is now.
func (s *Server) config() Config {
	if c := s.newer.Load(); c != nil {
		return *c
	}
	return s.conf
}

func (s *Server) open(ctx context.Context, ifi *net.Interface) (err error) {
	if s.device, err = s.openDevice(ctx, ifi); err != nil {
		return err
	}
	if s.port69, err = tftp.Listen(netip.AddrPortFrom(s.mine.Addr(), tftpPort)); err != nil {
		return explain(err, ifi.Name, tftpPort)
	}
	if s.conf.Mode != Full {
		return nil
	}
	if err := s.probe(ctx); err != nil {
		return err
	}
	return s.openPool()
}

// probe makes sure that no other server answers, or leaves that to Run where the link is not up.
func (s *Server) probe(ctx context.Context) error {
	why := s.linkTrouble()
	if why == "" {
		s.log.Info("asking for other DHCP servers", "interface", s.conf.Interface, "for", s.conf.ProbeTime)
		others, err := s.device.watch.Probe(ctx, s.conf.ProbeTime, 0, nil)
		if len(others) > 0 {
			return &OtherServerError{Interface: s.conf.Interface, Servers: others}
		}
		if err == nil {
			return nil
		}
		if why = s.linkTrouble(); why == "" || ctx.Err() != nil {
			return err
		}
	}
	var said time.Time
	s.pause(noticeLink, why, &said)
	return nil
}

func (s *Server) openPool() error {
	c, err := s.conf.pool(s.mine)
	if err != nil {
		return err
	}
	if s.pool, err = lease.Open(c); err != nil {
		return err
	}
	if n := s.pool.Dropped(); n > 0 {
		s.log.Warn("the lease journal had damaged lines; the old file is kept", "lines", n,
			"file", s.conf.Pool.Journal+".damaged")
	}
	if err := s.pool.Trouble(); err != nil {
		s.log.Error("the disk is full: machines get no leases until there is room", "err", err)
		s.leasesTrouble(err)
	}
	s.dhcp.Leases = leaser{s.pool, s.pausedError}
	return nil
}

// OtherServerError means that full DHCP was not started, because another server leases addresses on the network.
type OtherServerError struct {
	Interface string
	Servers   []netip.Addr
}

// Error names the servers.
func (e *OtherServerError) Error() string {
	return fmt.Sprintf("another DHCP server answers on %s: %s; two servers would lease conflicting addresses: "+
		"use proxy mode, or stop that server",
		e.Interface, join(e.Servers))
}

// Run answers until ctx ends, then closes everything; it then returns nil. If the interface is removed and created
// again, Run opens its sockets again.
func (s *Server) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.links.follow(ctx, s.log) })
	g.Go(func() error { return s.keepDevice(ctx) })
	g.Go(func() error { return s.tftp.Serve(ctx, s.port69) })
	s.log.Info("network boot ready", "interface", s.conf.Interface, "address", s.mine, "mode", s.conf.Mode,
		"loaders", s.loaders.set.Load().Names())
	err := g.Wait()
	return errors.Join(err, s.Close())
}

// Close closes the sockets and the leases. Run does it too.
func (s *Server) Close() error {
	s.closing.Do(func() { s.closed = s.close() })
	return s.closed
}

func (s *Server) close() error {
	if s.device != nil {
		s.device.close()
	}
	if s.port69 != nil {
		s.port69.Close()
	}
	if s.pool == nil {
		return nil
	}
	return s.pool.Close()
}

// ServerIP is the address that machines use.
func (s *Server) ServerIP() netip.Addr { return s.mine.Addr() }

// BaseURL is the URL of the HTTP server that machines use, without a final slash.
func (s *Server) BaseURL() string {
	return "http://" + netip.AddrPortFrom(s.mine.Addr(), s.conf.HTTPPort).String()
}

// Notices lists the present problems of the service, one sentence each: another DHCP server, a link that is down, an
// interface that is gone, a pool or a disk that is full. It may be called at any time.
func (s *Server) Notices() []string { return s.notices.list(time.Now()) }

// sawRequest hears of all DHCP requests.
func (s *Server) sawRequest(r *dhcp.Request, a dhcp.Answer) {
	m := Machine{MAC: net.HardwareAddr(r.MAC[:]), UUID: r.UUID, Arch: Arch(r.Arch)}
	asked := fmt.Sprintf("DHCP %s", r.Type)
	if r.IPXE {
		asked += " by iPXE"
	}
	if s.paused.Load() != nil {
		select {
		case s.forwards <- struct{}{}:
		default:
		}
	}
	if a.Refused != "" {
		s.leasesTrouble(a.Err)
		s.refuse(m, r.BootClient(), asked, a.Refused)
	}
	if !r.BootClient() {
		return
	}
	conn := s.advertiser.Load()
	if to, ok := s.routes.booting(r.MAC, time.Now()); ok && conn != nil {
		conn.advertise(to, s.routes, s.log)
	}
	if s.observe != nil && a.Refused == "" {
		s.observe.Seen(m, asked+": "+a.Reason)
	}
}

// refuse reports that a machine does not get what it asked for. boots says that it wants to boot from the network.
func (s *Server) refuse(m Machine, boots bool, asked, why string) {
	tell, more := s.refusals.due([6]byte(m.MAC), time.Now())
	if more > 0 {
		s.log.Warn("more machines get no answer; the log names only the first ones of each minute", "refusals", more)
	}
	if !tell {
		return
	}
	s.log.Warn("a machine does not get what it asked for", "mac", m.MAC.String(), "uuid", m.UUID,
		"arch", iana.Arch(m.Arch), "asked", asked, "why", why)
	if boots && s.observe != nil {
		s.observe.Refused(m, why)
	}
}
