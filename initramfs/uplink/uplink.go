// Package uplink finds the way from a machine to its server: an interface with a cable, an address by DHCP, an answer
// over plain HTTP.
//
// Call Finder.Find, and then Lease.Renew in a goroutine. NICs lists the interfaces as they are now.
//
// It gives the interface its address and the machine its route and resolv.conf. Nothing that it learns is proven: the
// caller asks again over TLS. Sources: RFC 2131 and RFC 2132 (DHCP), sysfs and the kernel's route sockets.
package uplink

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
	"griddle/initramfs/hotplug"
	"griddle/tui"

	"github.com/vishvananda/netlink"
)

// StepServer is the name of the last step, as the screen lists it.
const StepServer = "Server"

// The names of the steps before it.
const (
	stepNICs    = "Network interfaces"
	stepAddress = "Address"
)

// Finder finds the server. All fields but First must be set.
type Finder struct {
	Server  string         // its URL over plain HTTP
	First   string         // MAC address of the interface to try before the others, "" for none
	Tell    func(tui.Step) // gets what is done at each step, and what would help
	Devices *hotplug.Devices
	Log     *slog.Logger
}

// errNoCable means that no interface has a carrier.
var errNoCable = errors.New("no cable")

// Find returns the lease of the interface that leads to the server, and the time that the server says. It tries until
// it has one; the error is that of ctx.
func (f *Finder) Find(ctx context.Context) (*Lease, time.Time, error) {
	if lo, err := netlink.LinkByName("lo"); err == nil {
		_ = netlink.LinkSetUp(lo)
	}
	for ctx.Err() == nil {
		list, err := f.interfaces(ctx)
		if err != nil {
			f.pause(ctx)
			continue
		}
		for _, n := range list {
			l, date, err := f.try(ctx, n)
			if err == nil {
				return l, date, nil
			}
			if ctx.Err() != nil {
				break
			}
			f.Log.Warn("the server cannot be reached over this interface", "nic", n.Name, "error", err)
		}
		f.pause(ctx)
	}
	return nil, time.Time{}, ctx.Err()
}

// pause waits a little, or until a device appears: trying again at once would only flood the wire.
func (f *Finder) pause(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(3 * time.Second):
	case <-f.Devices.Changed():
	}
}

// interfaces returns those with a cable, in the order in which they are to be tried. Autonegotiation takes up to
// some seconds after the interface was brought up, and drivers appear one after the other.
func (f *Finder) interfaces(ctx context.Context) ([]NIC, error) {
	f.Tell(tui.Step{Name: stepNICs, State: tui.StepRunning, Detail: "looking for interfaces with a cable"})
	deadline := time.Now().Add(10 * time.Second)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	var list []NIC
	for {
		var err error
		if list, err = NICs(f.First); err != nil {
			f.Tell(tui.Step{Name: stepNICs, State: tui.StepFailed,
				Detail: "cannot list them: " + job.Sentence(err.Error()), Hint: "Trying again."})
			return nil, fmt.Errorf("listing network interfaces: %w", err)
		}
		var ready []NIC
		for _, n := range list {
			if n.link.Attrs().Flags&net.FlagUp == 0 {
				if err := netlink.LinkSetUp(n.link); err != nil {
					f.Log.Warn("interface not brought up", "nic", n.Name, "error", err)
				}
			}
			if n.Carrier {
				ready = append(ready, n)
			}
		}
		// The interface that the machine booted from is waited for; without one, whatever comes first is taken
		// once the devices have settled.
		late := time.Now().After(deadline)
		if len(ready) > 0 && (late || ready[0].MAC == f.First || f.First == "" && f.Devices.Quiet(time.Second)) {
			f.Tell(tui.Step{Name: stepNICs, State: tui.StepDone, Detail: describe(list)})
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
		f.Tell(tui.Step{Name: stepNICs, State: tui.StepFailed, Detail: noDriver(driverless(os.DirFS("/sys"))),
			Hint: "The boot image has no driver for the network card, or the card is disabled in the firmware setup. " +
				"You can plug in another card or a USB adapter now."})
		return nil, errors.New("no network interface")
	}
	f.Tell(tui.Step{Name: stepNICs, State: tui.StepFailed, Detail: describe(list),
		Hint: "No interface has a link: plug in the cable of the provisioning network, or check the switch port."})
	return nil, errNoCable
}

// try asks for an address on one interface and for the server over it.
func (f *Finder) try(ctx context.Context, n NIC) (*Lease, time.Time, error) {
	f.Tell(tui.Step{Name: stepAddress, State: tui.StepRunning, Detail: n.Name + ": asking for an address (DHCP)"})
	l, err := request(ctx, n)
	if err == nil {
		err = l.apply()
	}
	if err != nil {
		detail, hint := addressTrouble(f.again(n), err)
		f.Tell(tui.Step{Name: stepAddress, State: tui.StepFailed, Detail: detail, Hint: hint})
		return nil, time.Time{}, err
	}
	detail := fmt.Sprintf("%s: %s", n.Name, l.Prefix.String())
	if l.server != nil && !l.server.IsUnspecified() {
		detail += " from " + l.server.String()
	}
	f.Tell(tui.Step{Name: stepAddress, State: tui.StepDone, Detail: detail})
	f.Tell(tui.Step{Name: StepServer, State: tui.StepRunning, Detail: "asking " + f.Server + " over " + n.Name})
	date, err := serverDate(ctx, f.Server)
	if err != nil {
		f.Tell(tui.Step{Name: StepServer, State: tui.StepFailed,
			Detail: n.Name + " to " + strings.TrimPrefix(f.Server, "http://") + ": " + Reason(err),
			Hint: "Is \"griddle serve\" running, and is its address reachable from this network (route, " +
				"firewall)? Trying again."})
		l.drop()
		return nil, time.Time{}, err
	}
	return l, date, nil
}

// again is the interface as it is now.
func (f *Finder) again(n NIC) NIC {
	list, err := NICs(f.First)
	for _, now := range list {
		if err == nil && now.MAC == n.MAC {
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
