package netboot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"griddle/netboot/dhcp"
	"griddle/netboot/lease"
	"griddle/netboot/loader"
	"griddle/netboot/tftp"
)

// Observer hears of machines as they come by. Seen must not block for long; it is called from several goroutines.
type Observer interface {
	// Seen tells what a machine that boots from the network did and what it was told, in a few words.
	Seen(m Machine, what string)
	// Refused tells that a machine asked to boot and got no answer, and why, in a few words. It is called at most once a minute for each machine.
	Refused(m Machine, why string)
}

// Server answers DHCP, TFTP and router solicitations on one interface; its Handler answers HTTP. Make one with Listen.
type Server struct {
	conf    Config
	mine    netip.Prefix
	booter  Booter
	observe Observer
	log     *slog.Logger
	loaders *loader.Set

	dhcp               dhcp.Server
	tftp               tftp.Server
	routes             *routes
	pool               *lease.Pool
	port67, port4011   *net.UDPConn
	port69             *net.UDPConn
	solicitations      *solicitationConn // nil where IPv6 is off
	scripts, scriptErr counter
	closing            sync.Once
	closed             error
}

// Listen checks c, loads the loaders, in full mode makes sure that no other DHCP server answers, and opens every socket.
// observe may be nil. Errors name the port and who holds it, or the capability that is missing. After Listen call Run,
// or Close.
func Listen(ctx context.Context, c Config, b Booter, observe Observer, log *slog.Logger) (*Server, error) {
	if c.HTTPPort == 0 {
		c.HTTPPort = 8080
	}
	if c.UEFILoader == "" {
		c.UEFILoader = loader.UEFI
	}
	if c.ProbeTime == 0 {
		c.ProbeTime = 3 * time.Second
	}
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
	loaders, err := loader.Load(c.BootDir, loader.BIOS, c.UEFILoader)
	if err != nil {
		return nil, err
	}
	s := &Server{conf: c, mine: mine, booter: b, observe: observe, log: log, loaders: loaders, routes: newRoutes()}
	s.dhcp.Config, s.dhcp.Log, s.dhcp.Observe = c.dhcp(mine), log, s.sawRequest
	s.tftp.Files, s.tftp.Log = loaders, log
	if err := s.open(ctx, ifi); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Server) open(ctx context.Context, ifi *net.Interface) (err error) {
	full := s.conf.Mode == Full
	if s.port67, err = dhcp.Listen(ctx, ifi.Name, dhcp.ServerPort, !full); err != nil {
		return explain(err, ifi.Name, dhcp.ServerPort)
	}
	if s.port4011, err = dhcp.Listen(ctx, ifi.Name, dhcp.PXEPort, false); err != nil {
		return explain(err, ifi.Name, dhcp.PXEPort)
	}
	if s.port69, err = tftp.Listen(netip.AddrPortFrom(s.mine.Addr(), tftpPort)); err != nil {
		return explain(err, ifi.Name, tftpPort)
	}
	s.solicitations, err = listenSolicitations(ctx, ifi)
	switch {
	case errors.Is(err, errNoIPv6):
		s.log.Warn("no IPv6 on the interface: iPXE will wait 16 seconds for a router in each stage", "interface", ifi.Name)
	case err != nil:
		return explain(err, ifi.Name, 0)
	}
	if !full {
		return nil
	}
	others, err := dhcp.Probe(ctx, ifi.Name, s.conf.ProbeTime)
	if err != nil {
		return explain(err, ifi.Name, 0)
	}
	if len(others) > 0 {
		return &OtherServerError{Interface: ifi.Name, Servers: others}
	}
	if s.pool, err = s.conf.openPool(s.mine); err != nil {
		return err
	}
	if n := s.pool.Dropped(); n > 0 {
		s.log.Warn("the lease journal had bad lines; it is kept beside the new one", "lines", n, "file", s.conf.Pool.Journal+".damaged")
	}
	s.dhcp.Leases = leaser{s.pool}
	return nil
}

// OtherServerError says that full DHCP was not started, because somebody else leases addresses on the network.
type OtherServerError struct {
	Interface string
	Servers   []netip.Addr
}

// Error names the servers.
func (e *OtherServerError) Error() string {
	var who []string
	for _, a := range e.Servers {
		who = append(who, a.String())
	}
	return fmt.Sprintf("another DHCP server answers on %s: %s; two of them would give machines conflicting addresses: use proxy mode, or stop that server",
		e.Interface, strings.Join(who, ", "))
}

// Run answers until ctx ends, then closes everything. The error is nil when ctx ended it.
func (s *Server) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.dhcp.Serve(ctx, s.port67, dhcp.ServerPort) })
	g.Go(func() error { return s.dhcp.Serve(ctx, s.port4011, dhcp.PXEPort) })
	g.Go(func() error { return s.tftp.Serve(ctx, s.port69) })
	if s.solicitations != nil {
		g.Go(func() error { return s.solicitations.serve(ctx, s.routes, s.log) })
	}
	s.log.Info("network boot ready", "interface", s.conf.Interface, "address", s.mine, "mode", s.conf.Mode, "loaders", s.loaders.Names())
	err := g.Wait()
	return errors.Join(err, s.Close())
}

// Close closes the sockets and the leases. Run does it too.
func (s *Server) Close() error {
	s.closing.Do(func() { s.closed = s.close() })
	return s.closed
}

func (s *Server) close() error {
	for _, c := range []*net.UDPConn{s.port67, s.port4011, s.port69} {
		if c != nil {
			c.Close()
		}
	}
	if s.solicitations != nil {
		s.solicitations.conn.Close()
	}
	if s.pool == nil {
		return nil
	}
	return s.pool.Close()
}

// ServerIP is the address that machines are told.
func (s *Server) ServerIP() netip.Addr { return s.mine.Addr() }

// BaseURL is the HTTP server that machines are told, without a final slash.
func (s *Server) BaseURL() string {
	return "http://" + netip.AddrPortFrom(s.mine.Addr(), s.conf.HTTPPort).String()
}

// Leases lists the leases of full mode, nil in proxy mode. It may be called while Run runs.
func (s *Server) Leases() []lease.Lease {
	if s.pool == nil {
		return nil
	}
	return s.pool.Leases()
}

// sawRequest is told of all DHCP requests.
func (s *Server) sawRequest(r *dhcp.Request, a dhcp.Answer) {
	if !r.BootClient() {
		return
	}
	if to, ok := s.routes.booting(r.MAC, time.Now()); ok && s.solicitations != nil {
		s.solicitations.advertise(to, s.routes, s.log)
	}
	if s.observe != nil {
		m := Machine{MAC: net.HardwareAddr(r.MAC[:]), UUID: r.UUID, Arch: Arch(r.Arch)}
		what := fmt.Sprintf("DHCP %s: %s", r.Type, a.Reason)
		if r.IPXE {
			what = fmt.Sprintf("DHCP %s by iPXE: %s", r.Type, a.Reason)
		}
		s.observe.Seen(m, what)
	}
}
