// Package netboot answers machines that boot from the network: it gives them addresses or boot files, and serves the
// boot scripts and loaders.
//
// Call Listen, serve Handler on HTTP, and call Run. A Booter decides what each machine boots, so this package knows
// machines and boot specs, but no images and no jobs. An Observer gets a report of what each machine did.
package netboot

import (
	"context"
	"net"
	"net/netip"

	"github.com/insomniacslk/dhcp/iana"
)

// Arch is a client system architecture type of DHCP option 93 (RFC 4578 section 2.1 with its errata; the names are
// those of the IANA registry "Processor Architecture Types").
type Arch uint16

// The architectures that have a loader.
const (
	BIOS       = Arch(iana.INTEL_X86PC)
	UEFI       = Arch(iana.EFI_X86_64)      // 7
	EBC        = Arch(iana.EFI_BC)          // 9: EFI byte code; some x64 firmware sends it too
	UEFIByHTTP = Arch(iana.EFI_X86_64_HTTP) // 16
)

// UEFI says whether a is UEFI firmware of any kind.
func (a Arch) UEFI() bool { return a != BIOS && a != Arch(iana.INTEL_X86PC_HTTP) }

// Machine is what a booting machine says about itself in its packets and requests. All of it is hostile.
type Machine struct {
	MAC  net.HardwareAddr
	UUID string // lower case, "" if not sent or all zeros
	Arch Arch

	// Address is where a request for a boot script came from; the zero value of a machine that only sent packets.
	Address netip.Addr
}

// Action is what a machine does when its loader runs.
type Action int

// The actions.
const (
	Menu  Action = iota // a menu; after a timeout it starts its default, the local disk
	Local               // the local disk at once; if Spec.Disk names one, a key in the first seconds leads to the agent
	Agent               // our Linux at once
)

// Spec is what a machine boots. Menu and Agent use Kernel, Initrds and Args, and so does Local if Disk is set.
type Spec struct {
	Action  Action
	Kernel  string   // path below the HTTP server, "/boot/vmlinuz"
	Initrds []string // paths below the HTTP server, in order
	Args    []string // kernel arguments
	// Disk is the ID of the table of the disk with the installed system: the GUID of a GPT, in lower case, or the disk
	// signature of an MBR as 8 hex digits; "" if no such system is known.
	Disk string
	// Other is the same of the other disk of a mirror, which is started where Disk is missing; "" if there is none.
	Other string
	// Volume is the label of the EFI system partition to start the local disk from; "" leaves it to the firmware.
	Volume string
}

// Booter decides what a machine boots.
type Booter interface {
	// Boot is called once for each request for a boot script. If it returns an error, the machine gets a script that
	// shows the error and then boots the local disk.
	Boot(ctx context.Context, m Machine) (Spec, error)
}
