package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"

	"griddle/appliance/job"
	"griddle/initramfs/uplink"
	"griddle/tui"
)

// Sentences for what goes wrong, each true of the one error that it is for.

// Why a choice that was confirmed is not carried out.
var (
	errChanged = errors.New("the disks of this machine changed while you chose; " +
		"nothing was written to disk, choose again")
	errOrdered = errors.New("an operator gave this machine a job while you chose; that job runs, " +
		"and your choice is dropped")
	errAsked = errors.New("the agent asked the server again while you chose; " +
		"nothing was written to disk, choose again")
	errLinkLost = errors.New("nothing was written to disk; try again when the link is back")
)

// lostLink says what is wrong with the interface that leads to the server, "" where it has a link.
func lostLink(list []uplink.NIC, name, mac string) string {
	for _, n := range list {
		if n.MAC != mac {
			continue
		}
		if n.Carrier {
			return ""
		}
		return n.Name + " has no link. Plug in its cable, or check the switch port."
	}
	return name + " is gone. Plug the adapter in again, then reboot (r on the first page)."
}

// choiceTrouble is why the server did not make a job of a choice.
func choiceTrouble(err error) error {
	var p *job.Problem
	switch {
	case errors.As(err, &p):
		return fmt.Errorf("the server refused: %w; nothing was written to disk", err)
	case isCertificate(err):
		return fmt.Errorf("the server could not prove its identity: %w; nothing was written to disk", err)
	}
	return fmt.Errorf("the server did not answer (%s); nothing was written to disk. Try again when it can be reached",
		uplink.Reason(err))
}

// unanswered says in a line why the server does not give what it is asked for again and again.
func unanswered(err error) string {
	var p *job.Problem
	if errors.As(err, &p) {
		return "the server refused: " + job.Printable(p.Error())
	}
	return "the server does not answer (" + uplink.Reason(err) + "); trying again"
}

// hintFor says what helps after hello failed. lost is the result of lostLink.
func hintFor(err error, lost string) string {
	var p *job.Problem
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &p):
		return "The server refused; its log says why. Trying again."
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "The server's certificate is not valid at this machine's time. Check the server's clock. Trying again."
	case isCertificate(err):
		return "The server's certificate is not signed by the CA in this boot image: the server has a new CA, " +
			"or another server " +
			"answers. Boot again from the network."
	case lost != "":
		return lost + " Trying again."
	}
	return "Is \"griddle serve\" running, and is its HTTPS port reachable? Trying again."
}

// lowMemory warns if the machine has less memory than the agent needs. total is the kernel's memory in bytes, 0 if not
// known.
func lowMemory(total int64) (tui.Step, bool) {
	if total == 0 || total >= job.MemoryNeeds {
		return tui.Step{}, false
	}
	return tui.Step{Name: stepMemory, State: tui.StepFailed, Detail: job.Bytes(total) + " of memory",
		Hint: "The agent needs a machine with 512 MiB. An install may fail before its end: add memory first."}, true
}

// siteTrouble says what helps if the site's part of the boot image cannot be read.
func siteTrouble(err error) string {
	if errors.Is(err, fs.ErrNotExist) {
		return "This boot image was loaded without its site part, which \"griddle serve\" sends as " +
			"the second initrd. " +
			"Boot the machine from the Griddle server."
	}
	return "The site part of this boot image is damaged, or from another version of griddle. " +
		"Boot again from the network; " +
		"the server's log says whether it could make the site part."
}
