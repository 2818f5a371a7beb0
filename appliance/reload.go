package appliance

import (
	"context"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"griddle/appliance/config"
	"griddle/appliance/setting"
	"griddle/netboot"
)

// live is the part of the configuration that reloading changes, with the keymap that it names (nil
// for the kernel's own), and the settings.
type live struct {
	config   config.Config
	keymap   []byte
	settings setting.Document // of all machines
}

// reloads reads the configuration again each time that o.Reload asks for it, until ctx ends. What is wrong with it is
// logged, and changes nothing.
func (s *server) reloads(ctx context.Context, nb *netboot.Server, o Options) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-o.Reload:
		}
		s.tell(reloading())
		if err := s.reload(nb, o); err != nil {
			for line := range strings.Lines(err.Error()) {
				s.log.Error("the configuration has mistakes; the old one stays in effect",
					"error", strings.TrimSpace(line))
			}
		}
		s.tell("READY=1")
	}
}

func (s *server) reload(nb *netboot.Server, o Options) error {
	c, err := o.Read()
	if err != nil {
		return err
	}
	old := s.live.Load()
	changed, later := config.Changes(old.config, &c)
	if err := c.Validate(); err != nil && len(later) > 0 {
		return fmt.Errorf("with the old values of %s, which need a restart: %w", strings.Join(later, ", "), err)
	}
	keymap, err := keymap(c, s.bootDir)
	if err != nil {
		return err
	}
	settings, err := s.siteSettings(c)
	if err != nil {
		return err
	}
	// Last of all that can fail, and it changes all or nothing.
	if err := nb.Reload(s.netboot(c)); err != nil {
		return err
	}
	s.fleet.Reconfigure(fleetOptions(c))
	if err := s.authority.Reread(); err != nil {
		s.log.Error("the CA stays as it was", "error", err)
	}
	if o.Level != nil {
		o.Level.Set(c.Log.SlogLevel())
	}
	s.live.Store(&live{c, keymap, settings})
	s.log.Info("read the configuration again", "changed", orNone(changed))
	if len(later) > 0 {
		s.log.Warn("some changes need a restart of griddle serve", "keys", strings.Join(later, ", "))
	}
	return nil
}

// tell passes a state on to the service manager.
func (s *server) tell(state string) {
	if err := notify(state); err != nil {
		s.log.Warn("sending the state to the service manager failed", "error", err)
	}
}

// reloading says when the reload began, in the clock that systemd compares it by (sd_notify(3), Type=notify-reload).
func reloading() string {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		return "RELOADING=1"
	}
	return fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", t.Nano()/1000)
}
