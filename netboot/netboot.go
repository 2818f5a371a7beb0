// Package netboot answers machines that boot from the network: it decides who may boot and what, and serves the
// boot files. It knows machines and boot specs, and neither images nor jobs; a Booter decides for it.
package netboot

import (
	"context"
	"net"

	"github.com/insomniacslk/dhcp/iana"
)

// Arch is a client system architecture type of DHCP option 93 (RFC 4578 section 2.1 with its errata; the names are those
// of the IANA registry "Processor Architecture Types").
type Arch uint16

// The architectures that have a loader.
const (
	BIOS       = Arch(iana.INTEL_X86PC)
	UEFI       = Arch(iana.EFI_X86_64)      // 7
	EBC        = Arch(iana.EFI_BC)          // 9: EFI byte code; some x64 firmware says so of itself
	UEFIByHTTP = Arch(iana.EFI_X86_64_HTTP) // 16
)

// UEFI says whether a is some kind of UEFI firmware.
func (a Arch) UEFI() bool { return a != BIOS && a != Arch(iana.INTEL_X86PC_HTTP) }

// Machine is what is known of a booting machine from its own packets and requests: all of it hostile.
type Machine struct {
	MAC  net.HardwareAddr
	UUID string // lower case, "" if not sent or all zeros
	Arch Arch
}

// Action is what a machine does once its loader runs.
type Action int

// The actions.
const (
	Menu  Action = iota // a menu whose default entry, after a while, is the local disk
	Local               // the local disk at once; where Spec.Disk names one, a key in the first seconds leads to the agent
	Agent               // our Linux at once
)

// Spec is what a machine boots. Kernel, Initrds and Args matter to Menu and Agent, and to Local where Disk is set.
type Spec struct {
	Action  Action
	Kernel  string   // path below the HTTP server, "/boot/vmlinuz"
	Initrds []string // paths below the HTTP server, in order
	Args    []string // kernel arguments
	Disk    string   // GUID of the GPT of the disk that has the installed system, lower case; "" where there is none
	Volume  string   // label of the EFI system partition that the local disk starts from; "" leaves it to the firmware
}

// Booter decides what a machine boots.
type Booter interface {
	// Boot is called once for each boot script that is asked for. An error gives the machine a script that
	// shows it and then boots the local disk.
	Boot(ctx context.Context, m Machine) (Spec, error)
}
