package netboot

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"griddle/netboot/dhcp"
)

// device is all that is bound to the interface itself. The kernel binds sockets to an interface's index, so when an
// interface of the same name is made again (a bridge is started again, a USB adapter plugged in again) they hear
// nothing: then there is another device. TFTP and HTTP are bound to our address, and go on by themselves.
type device struct {
	ifi              *net.Interface
	port67, port4011 *net.UDPConn
	relayed          *net.UDPConn      // port 67 for relay agents, nil in full mode or without them
	solicitations    *solicitationConn // nil where IPv6 is off
	watch            *dhcp.Watch       // nil in proxy mode
}

// errRenew ends a device whose interface was made again; the caller opens the next one.
var errRenew = errors.New("the interface was made again")

func (s *Server) openDevice(ctx context.Context, ifi *net.Interface) (d *device, err error) {
	s.links.fresh(ifi.Index)
	d = &device{ifi: ifi}
	defer func() {
		if err != nil {
			d.close()
			d = nil
		}
	}()
	c := s.config()
	full := c.Mode == Full
	if d.port67, err = dhcp.Listen(ctx, ifi.Name, dhcp.ServerPort, !full); err != nil {
		return d, explain(err, ifi.Name, dhcp.ServerPort)
	}
	if !full && len(c.Relays) > 0 {
		if d.relayed, err = dhcp.ListenUnicast(ctx, ifi.Name,
			netip.AddrPortFrom(s.mine.Addr(), dhcp.ServerPort)); err != nil {
			return d, explain(err, ifi.Name, dhcp.ServerPort)
		}
	}
	if d.port4011, err = dhcp.Listen(ctx, ifi.Name, dhcp.PXEPort, false); err != nil {
		return d, explain(err, ifi.Name, dhcp.PXEPort)
	}
	d.solicitations, err = listenSolicitations(ctx, ifi)
	switch {
	case errors.Is(err, errNoIPv6):
		s.log.Warn("the interface has no IPv6: iPXE will wait 16 seconds for a router in each stage",
			"interface", ifi.Name)
	case err != nil:
		return d, explain(err, ifi.Name, 0)
	}
	if full {
		if d.watch, err = dhcp.OpenWatch(ifi, s.mine.Addr()); err != nil {
			return d, explain(err, ifi.Name, 0)
		}
	}
	return d, nil
}

func (d *device) close() {
	for _, c := range []*net.UDPConn{d.port67, d.relayed, d.port4011} {
		if c != nil {
			c.Close()
		}
	}
	if d.solicitations != nil {
		d.solicitations.conn.Close()
	}
	if d.watch != nil {
		d.watch.Close()
	}
}

// keepDevice serves on the first device, and on each that follows, until ctx ends.
func (s *Server) keepDevice(ctx context.Context) error {
	d := s.device
	for {
		err := s.serveDevice(ctx, d)
		d.close()
		if ctx.Err() != nil {
			return nil
		}
		if !errors.Is(err, errRenew) {
			return err
		}
		if d = s.awaitDevice(ctx); d == nil {
			return nil
		}
	}
}

// serveDevice answers at d until ctx ends, or the interface is another one, which is errRenew.
func (s *Server) serveDevice(ctx context.Context, d *device) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.dhcp.Serve(ctx, d.port67, dhcp.ServerPort) })
	g.Go(func() error { return s.dhcp.Serve(ctx, d.port4011, dhcp.PXEPort) })
	if d.relayed != nil {
		g.Go(func() error { return s.dhcp.Serve(ctx, d.relayed, dhcp.ServerPort) })
	}
	if d.solicitations != nil {
		s.advertiser.Store(d.solicitations)
		g.Go(func() error { return d.solicitations.serve(ctx, s.routes, s.log) })
	}
	if d.watch != nil {
		g.Go(func() error { return s.watchServers(ctx, d) })
	}
	g.Go(func() error { return s.untilRenewed(ctx, d) })
	err := g.Wait()
	s.advertiser.Store(nil)
	return err
}

// untilRenewed waits for that, and says when the link goes down.
func (s *Server) untilRenewed(ctx context.Context, d *device) error {
	up := true
	for {
		change := s.links.change()
		now, err := net.InterfaceByName(d.ifi.Name)
		if s.links.gone(d.ifi.Index) || err != nil || now.Index != d.ifi.Index {
			s.log.Warn("the interface is gone: DHCP waits for it", "interface", d.ifi.Name, "index", d.ifi.Index)
			s.notices.set(noticeLink, fmt.Sprintf("the interface %s is gone: DHCP waits for it", d.ifi.Name),
				time.Time{}, 0)
			return errRenew
		}
		switch trouble := linkTrouble(now, os.DirFS("/sys")); {
		case trouble != "" && up && s.paused.Load() == nil: // begin says it itself
			up = false
			s.log.Warn("the link is down", "interface", d.ifi.Name, "why", trouble)
			s.notices.set(noticeLink, trouble, time.Time{}, 0)
		case trouble == "" && !up:
			up = true
			s.log.Info("the link is up again", "interface", d.ifi.Name)
			s.notices.clear(noticeLink)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.renew:
			return errRenew
		case <-change:
		case <-time.After(pollLinks):
		}
	}
}

// awaitDevice waits until the interface is up with our address, and opens everything on it. It is nil when ctx ended.
func (s *Server) awaitDevice(ctx context.Context) *device {
	var said time.Time
	for ctx.Err() == nil {
		change := s.links.change()
		ifi, err := net.InterfaceByName(s.conf.Interface)
		if err == nil && ifi.Flags&net.FlagUp == 0 {
			err = fmt.Errorf("the interface %s is down", ifi.Name)
		}
		if err == nil {
			_, err = address(ifi, s.mine.Addr())
		}
		var d *device
		if err == nil {
			d, err = s.openDevice(ctx, ifi)
		}
		if err == nil {
			s.log.Warn("DHCP listens on the interface again", "interface", ifi.Name, "index", ifi.Index)
			s.notices.clear(noticeLink)
			return d
		}
		// Not at once: an interface that is made again is first there, then up, and then has its address.
		if now := time.Now(); said.IsZero() {
			said = now
		} else if now.Sub(said) >= tellEvery {
			said = now
			s.log.Error("DHCP still waits for its interface", "interface", s.conf.Interface, "err", err)
		}
		select {
		case <-ctx.Done():
		case <-change:
		case <-time.After(time.Second):
		}
	}
	return nil
}
