package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"

	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"

	"griddle/appliance/job"
	"griddle/tui"
)

// Sentences for what goes wrong, each true of the one error that it is for.

// Why a choice that was confirmed is not carried out.
var (
	errChanged  = errors.New("the disks of this machine changed while you chose; nothing was touched, choose again")
	errOrdered  = errors.New("an operator gave this machine a job while you chose, and it goes first; your choice is dropped")
	errAsked    = errors.New("the appliance was asked again while you chose; nothing was touched, choose again")
	errLinkLost = errors.New("nothing was touched; try again when the link is back")
)

// lostLink says what is wrong with the interface that leads to the appliance, "" where it has a link.
func lostLink(list []nic, name, mac string) string {
	for _, n := range list {
		if n.mac != mac {
			continue
		}
		if n.carrier {
			return ""
		}
		return n.name + " has no link. Plug in its cable, or check the switch port."
	}
	return name + " is gone. Plug the adapter in again, then reboot (r on the first page)."
}

// choiceTrouble is why the appliance did not make a job of a choice.
func choiceTrouble(err error) error {
	var p *job.Problem
	switch {
	case errors.As(err, &p):
		return fmt.Errorf("the appliance refused: %w; nothing was touched", err)
	case isCertificate(err):
		return fmt.Errorf("the appliance could not prove who it is: %w; nothing was touched", err)
	}
	return fmt.Errorf("the appliance did not answer (%s); nothing was touched. Try again when it can be reached", reason(err))
}

// hintFor says what helps where hello failed. lost is what lostLink says.
func hintFor(err error, lost string) string {
	var p *job.Problem
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &p):
		return "The appliance refused; its log says more. Trying again."
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "The appliance's certificate is not valid at this machine's time. Compare the appliance's clock with a right one. Trying again."
	case isCertificate(err):
		return "The appliance's certificate is not signed by the CA in this boot image: the appliance has a new CA, or another one answers. Boot again through the appliance."
	case lost != "":
		return lost + " Trying again."
	}
	return "Is \"griddle serve\" running, and is its HTTPS port reachable? Trying again."
}

// addressTrouble says why an interface has no address, and what helps.
func addressTrouble(n nic, err error) (detail, hint string) {
	name := n.name + " " + n.mac
	var nak *nclient4.ErrNak
	switch {
	case errors.Is(err, nclient4.ErrNoResponse) && !n.carrier:
		return name + ": no link", "Plug in the cable, or check the switch port. Trying again."
	case errors.Is(err, nclient4.ErrNoResponse):
		return name + ": no DHCP server answers",
			"Is the cable in the right socket, and is the appliance or the network's own DHCP server running? Trying again."
	case errors.As(err, &nak):
		return name + ": the DHCP server refused the address that it had offered", "Look at the DHCP server's log: two servers, or a full pool. Trying again."
	}
	return name + ": " + job.Sentence(err.Error()), "Trying again."
}

// lowMemory says that a machine has less memory than the agent is made for, total being what the kernel has of it in bytes. 0 is not known.
func lowMemory(total int64) (tui.Step, bool) {
	if total == 0 || total >= job.MemoryNeeds {
		return tui.Step{}, false
	}
	return tui.Step{Name: stepMemory, State: tui.StepFailed, Detail: job.Bytes(total) + " of memory",
		Hint: "The agent needs a machine with 512 MiB. An install may end in the middle: add memory first."}, true
}

// siteTrouble says what helps where the site's part of the boot image could not be read.
func siteTrouble(err error) string {
	if errors.Is(err, fs.ErrNotExist) {
		return "This boot image was loaded without its site part, which \"griddle serve\" hands out as the second initrd. Boot it through the appliance."
	}
	return "The site part of this boot image is damaged, or of another version of griddle. Boot again through the appliance; its log says whether it could make the site part."
}
