package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"griddle/appliance/job"
	"griddle/appliance/site"
	"griddle/initramfs/hotplug"
	"griddle/tui"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The names of the steps on the way to the server, as the screen lists them.
const (
	stepMemory  = "Memory"
	stepDevices = "Devices"
	stepNICs    = "Network interfaces"
	stepAddress = "Address"
	stepServer  = "Server"
)

// network finds a connection to the server: an interface, an address, an answer over plain HTTP. It tries until it has
// one or ctx ends, and shows at each step what it does and what would help.
type network struct {
	site  site.Site
	first string // MAC address of the interface to try before the others
	tell  func(tui.Step)
	dev   *hotplug.Devices
	log   *slog.Logger
}

// errNoCable means that no interface has a carrier.
var errNoCable = errors.New("no cable")

func (w *network) find(ctx context.Context) (*leased, time.Time, error) {
	if lo, err := netlink.LinkByName("lo"); err == nil {
		_ = netlink.LinkSetUp(lo)
	}
	for ctx.Err() == nil {
		list, err := w.interfaces(ctx)
		if err != nil {
			w.pause(ctx)
			continue
		}
		for _, n := range list {
			l, date, err := w.try(ctx, n)
			if err == nil {
				return l, date, nil
			}
			if ctx.Err() != nil {
				break
			}
			w.log.Warn("the server cannot be reached over this interface", "nic", n.name, "error", err)
		}
		w.pause(ctx)
	}
	return nil, time.Time{}, ctx.Err()
}

// pause waits a little, or until a device appears: trying again at once would only flood the wire.
func (w *network) pause(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(3 * time.Second):
	case <-w.dev.Changed():
	}
}

// interfaces returns those with a cable, in the order in which they are to be tried. Autonegotiation takes up to
// some seconds after the interface was brought up, and drivers appear one after the other.
func (w *network) interfaces(ctx context.Context) ([]nic, error) {
	w.tell(tui.Step{Name: stepNICs, State: tui.StepRunning, Detail: "looking for interfaces with a cable"})
	deadline := time.Now().Add(10 * time.Second)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	var list []nic
	for {
		var err error
		if list, err = nics(w.first); err != nil {
			w.tell(tui.Step{Name: stepNICs, State: tui.StepFailed,
				Detail: "cannot list them: " + job.Sentence(err.Error()), Hint: "Trying again."})
			return nil, fmt.Errorf("listing network interfaces: %w", err)
		}
		var ready []nic
		for _, n := range list {
			if n.link.Attrs().Flags&net.FlagUp == 0 {
				if err := netlink.LinkSetUp(n.link); err != nil {
					w.log.Warn("interface not brought up", "nic", n.name, "error", err)
				}
			}
			if n.carrier {
				ready = append(ready, n)
			}
		}
		// The interface that the machine booted from is waited for; without one, whatever comes first is taken
		// once the devices have settled.
		late := time.Now().After(deadline)
		if len(ready) > 0 && (late || ready[0].mac == w.first || w.first == "" && w.dev.Quiet(time.Second)) {
			w.tell(tui.Step{Name: stepNICs, State: tui.StepDone, Detail: describe(list)})
			return ready, nil
		}
		if late {
			break
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-tick.C:
		}
	}
	if len(list) == 0 {
		w.tell(tui.Step{Name: stepNICs, State: tui.StepFailed, Detail: noDriver(driverless(os.DirFS("/sys"))),
			Hint: "The boot image has no driver for the network card, or the card is disabled in the firmware setup. " +
				"You can plug in another card or a USB adapter now."})
		return nil, errors.New("no network interface")
	}
	w.tell(tui.Step{Name: stepNICs, State: tui.StepFailed, Detail: describe(list),
		Hint: "No interface has a link: plug in the cable of the provisioning network, or check the switch port."})
	return nil, errNoCable
}

// try asks for an address on one interface and for the server over it.
func (w *network) try(ctx context.Context, n nic) (*leased, time.Time, error) {
	w.tell(tui.Step{Name: stepAddress, State: tui.StepRunning, Detail: n.name + ": asking for an address (DHCP)"})
	l, err := request(ctx, n)
	if err == nil {
		err = l.apply()
	}
	if err != nil {
		detail, hint := addressTrouble(w.again(n), err)
		w.tell(tui.Step{Name: stepAddress, State: tui.StepFailed, Detail: detail, Hint: hint})
		return nil, time.Time{}, err
	}
	detail := fmt.Sprintf("%s: %s", n.name, l.prefix.String())
	if l.server != nil && !l.server.IsUnspecified() {
		detail += " from " + l.server.String()
	}
	w.tell(tui.Step{Name: stepAddress, State: tui.StepDone, Detail: detail})
	w.tell(tui.Step{Name: stepServer, State: tui.StepRunning, Detail: "asking " + w.site.HTTP + " over " + n.name})
	date, err := serverDate(ctx, w.site.HTTP)
	if err != nil {
		w.tell(tui.Step{Name: stepServer, State: tui.StepFailed,
			Detail: n.name + " to " + strings.TrimPrefix(w.site.HTTP, "http://") + ": " + reason(err),
			Hint: "Is \"griddle serve\" running, and is its address reachable from this network (route, " +
				"firewall)? Trying again."})
		l.drop()
		return nil, time.Time{}, err
	}
	return l, date, nil
}

// again is the interface as it is now.
func (w *network) again(n nic) nic {
	list, err := nics(w.first)
	for _, now := range list {
		if err == nil && now.mac == n.mac {
			return now
		}
	}
	return n
}

// serverDate asks for the time in the clear: certificates cannot be checked without a rough one. Any status will do.
func serverDate(ctx context.Context, base string) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, 8*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, base, nil)
	if err != nil {
		return time.Time{}, fmt.Errorf("asking the server for the time: %w", err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return time.Time{}, fmt.Errorf("asking the server for the time: %w", err)
	}
	res.Body.Close()
	t, _ := http.ParseTime(res.Header.Get("Date"))
	return t, nil
}

// setClock sets the system's clock to t, never further back than built: an older time is a lie or a dead battery,
// and would make certificates valid again that have expired.
func setClock(t, built time.Time) error {
	if t.Before(built) {
		t = built
	}
	if d := time.Until(t); d.Abs() < time.Second {
		return nil
	}
	ts := unix.NsecToTimespec(t.UnixNano())
	if err := unix.ClockSettime(unix.CLOCK_REALTIME, &ts); err != nil {
		return fmt.Errorf("setting the clock: %w", err)
	}
	return nil
}

func cmdline() string {
	b, _ := os.ReadFile("/proc/cmdline")
	return string(b)
}
