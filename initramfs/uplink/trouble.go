package uplink

import (
	"errors"

	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
	"golang.org/x/sys/unix"

	"griddle/appliance/job"
)

// addressTrouble says why an interface has no address, and what helps.
func addressTrouble(n NIC, err error) (detail, hint string) {
	name := n.Name + " " + n.MAC
	var nak *nclient4.ErrNak
	switch {
	case errors.Is(err, nclient4.ErrNoResponse) && !n.Carrier:
		return name + ": no link", "Plug in the cable, or check the switch port. Trying again."
	case errors.Is(err, nclient4.ErrNoResponse):
		return name + ": no DHCP server answers",
			"Is the cable in the right socket? Is the Griddle server or the network's own DHCP server " +
				"running? Trying again."
	case errors.As(err, &nak):
		return name + ": the DHCP server refused the address that it had offered",
			"Check the DHCP server's log: there may be two servers, or no free address. Trying again."
	}
	return name + ": " + job.Sentence(err.Error()), "Trying again."
}

// Reason is what the system said of a connection that failed, short enough for one line of the screen.
func Reason(err error) string {
	var errno unix.Errno
	var timeout interface{ Timeout() bool }
	switch {
	case errors.As(err, &errno):
		return errno.Error()
	case errors.As(err, &timeout) && timeout.Timeout():
		return "no answer in time"
	}
	return "no answer"
}
