package appliance

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"griddle/netboot"
)

// live is the part of the configuration that reloading changes, with the keymap that it names (nil for the kernel's own).
type live struct {
	config Config
	keymap []byte
}

// reloadKeys are taken at a reload. All others need a restart: sockets and directories are open already.
func reloadKeys() []string {
	return []string{"dhcp.relay_networks", "dhcp.pool", "dhcp.router", "dhcp.dns", "dhcp.lease", "dhcp.other_server",
		"unknown_machines", "menu_timeout", "kernel_args", "keymap", "hostname", "recompress", "log.level"}
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
				s.log.Error("the configuration is not taken; the old one stays", "error", strings.TrimSpace(line))
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
	changed, later := changes(old.config, &c)
	if err := c.Validate(); err != nil && len(later) > 0 {
		return fmt.Errorf("with the old values of %s, which need a restart: %w", strings.Join(later, ", "), err)
	}
	keymap, err := c.keymap(s.bootDir)
	if err != nil {
		return err
	}
	// Last of all that can fail, and it changes all or nothing.
	if err := nb.Reload(s.netboot(c)); err != nil {
		return err
	}
	s.fleet.Reconfigure(c.fleet())
	s.authority.reread()
	if o.Level != nil {
		o.Level.Set(c.Log.SlogLevel())
	}
	s.live.Store(&live{c, keymap})
	s.log.Info("read the configuration again", "changed", orNone(changed))
	if len(later) > 0 {
		s.log.Warn("some changes need a restart of griddle serve", "keys", strings.Join(later, ", "))
	}
	return nil
}

// changes lists the keys in which c differs from old: those that are taken now, and those that need a restart,
// whose old values are put back into c.
func changes(old Config, c *Config) (changed, later []string) {
	for _, key := range keysOf(reflect.TypeFor[Config](), "") {
		was, is := valueOf(reflect.ValueOf(&old).Elem(), key), valueOf(reflect.ValueOf(c).Elem(), key)
		if len(keysOf(is.Type(), "")) > 0 || same(was, is) {
			continue
		}
		if slices.Contains(reloadKeys(), key) {
			changed = append(changed, key)
			continue
		}
		later = append(later, key)
		is.Set(was)
	}
	return changed, later
}

// same takes an empty list for none.
func same(a, b reflect.Value) bool {
	if a.Kind() == reflect.Slice && a.Len() == 0 && b.Len() == 0 {
		return true
	}
	return reflect.DeepEqual(a.Interface(), b.Interface())
}

// valueOf is the field of a key such as "dhcp.mode".
func valueOf(v reflect.Value, key string) reflect.Value {
	for part := range strings.SplitSeq(key, ".") {
		v, _ = fieldOf(v, part)
	}
	return v
}

// tell passes a state on to the service manager.
func (s *server) tell(state string) {
	if err := notify(state); err != nil {
		s.log.Warn("the service manager could not be told", "error", err)
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

// SlogLevel is the level as log/slog has it.
func (l LogConfig) SlogLevel() slog.Level {
	return map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}[l.Level]
}
