package netboot

import (
	"fmt"

	"griddle/netboot/loader"
)

// Reload changes what can change while the server runs: MenuTimeout, Relays, StepDown, WatchEvery, the range, the
// reservations, the times, the router and the name servers of Pool. It also reads the loaders from BootDir again.
// Leases stay; see lease.Pool.Reconfigure for those outside a new range. The rest of c is ignored. If Reload returns an
// error, nothing has changed.
func (s *Server) Reload(c Config) error {
	c = c.withDefaults()
	old := s.config()
	next := old
	next.MenuTimeout, next.Relays, next.StepDown, next.WatchEvery = c.MenuTimeout, c.Relays, c.StepDown, c.WatchEvery
	next.Pool = c.Pool
	next.Pool.Journal = old.Pool.Journal
	if err := next.validate(); err != nil {
		return fmt.Errorf("checking the network boot configuration: %w", err)
	}
	set, err := loader.Load(next.BootDir, loader.BIOS, next.UEFILoader)
	if err != nil {
		return err
	}
	if s.pool != nil {
		p, err := next.pool(s.mine)
		if err != nil {
			return err
		}
		if err := s.pool.Reconfigure(p); err != nil {
			return err
		}
	}
	s.loaders.set.Store(set)
	s.newer.Store(&next)
	s.dhcp.Replace(next.dhcp(s.mine))
	if next.Mode == Proxy && (len(next.Relays) > 0) != (len(old.Relays) > 0) {
		// Relay agents need a socket of their own, which takes packets from others; see openDevice.
		select {
		case s.renew <- struct{}{}:
		default:
		}
	}
	return nil
}
