package dhcp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"
)

// ErrMalformed is what [Parse] wraps: the datagram is not a request that a server may answer.
var ErrMalformed = errors.New("malformed DHCP request")

// Class is the kind of boot client that option 60 names.
type Class int

// The classes.
const (
	Plain Class = iota // not a boot client, such as an operating system's DHCP client
	PXE                // PXEClient
	HTTP               // HTTPClient, UEFI HTTP Boot
)

// ArchUnknown is the Arch of a request without an architecture.
const ArchUnknown iana.Arch = 0xffff

// The options and values that the library has no name for.
const (
	optIPXE       = 175 // iPXE's own encapsulated options (https://ipxe.org/howto/dhcpd)
	ipxeHTTP      = 19  // sub-option of optIPXE: this iPXE can fetch http URLs
	ipxeNoProxy   = 176 // sub-option of optIPXE: do not wait for proxyDHCP offers
	classPXE      = "PXEClient"
	classHTTP     = "HTTPClient"
	userClassIPXE = "iPXE"
)

// Request is a parsed request. The machine may lie about everything in it.
type Request struct {
	Packet *dhcpv4.DHCPv4
	Type   dhcpv4.MessageType
	MAC    MAC
	// UUID is option 97 as SMBIOS tools print it, lower case; "" if absent or all zeros or all ones.
	UUID string
	// Arch is the first value of option 93 that has a loader, else its first value, else the one in option 60, else
	// ArchUnknown.
	Arch  iana.Arch
	Class Class
	// Pi says that the request is from a Raspberry Pi's boot ROM. It calls itself a PC, but cannot start a PC's loader.
	Pi bool
	// IPXE says that the request is from iPXE, from a ROM or started by this server.
	IPXE bool
	// NoHTTP says that this iPXE lists its features and HTTP is not among them.
	NoHTTP bool
}

// Parse reads one datagram. It returns an error that wraps [ErrMalformed] unless it is a BOOTREQUEST with a message
// type from an Ethernet machine. It uses the options up to the first one that is incomplete, accepts a missing END, and
// follows option 52.
func Parse(b []byte) (*Request, error) {
	p, err := dhcpv4.FromBytes(tidy(b))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	r := &Request{Packet: p, Type: p.MessageType(), Arch: ArchUnknown}
	switch {
	case p.OpCode != dhcpv4.OpcodeBootRequest:
		return nil, fmt.Errorf("%w: op %d is not a request", ErrMalformed, p.OpCode)
	case p.HWType != 1 || len(p.ClientHWAddr) != 6:
		return nil, fmt.Errorf("%w: hardware type %d with %d address bytes is not Ethernet", ErrMalformed, p.HWType,
			len(p.ClientHWAddr))
	case r.Type == dhcpv4.MessageTypeNone:
		return nil, fmt.Errorf("%w: no message type", ErrMalformed)
	}
	r.MAC = MAC(p.ClientHWAddr)
	if r.MAC == (MAC{}) || r.MAC[0]&1 != 0 {
		return nil, fmt.Errorf("%w: %s is not the address of one machine", ErrMalformed, p.ClientHWAddr)
	}
	r.UUID = clientUUID(p.Options.Get(dhcpv4.OptionClientMachineIdentifier))
	class := string(p.Options.Get(dhcpv4.OptionClassIdentifier))
	switch {
	case strings.HasPrefix(class, classPXE):
		r.Class = PXE
	case strings.HasPrefix(class, classHTTP):
		r.Class = HTTP
	}
	if a := p.Options.Get(dhcpv4.OptionClientSystemArchitectureType); len(a) >= 2 {
		r.Arch = pickArch(a, r.Class)
	} else {
		r.Arch = classArch(class)
	}
	r.IPXE, r.NoHTTP = ipxe(p)
	r.Pi = !r.IPXE && r.Class == PXE && r.Arch == iana.INTEL_X86PC &&
		raspberry(r.MAC, p.Options.Get(dhcpv4.OptionClientMachineIdentifier))
	return r, nil
}

// clientUUID prints option 97: a zero byte, then the 16 bytes of SMBIOS, whose first three fields are little-endian
// (RFC 4578 section 2.3, DMTF DSP0134 section 7.2.1). EDK2 and iPXE send them in that order.
func clientUUID(b []byte) string {
	if len(b) != 17 || b[0] != 0 {
		return ""
	}
	u := uuid.UUID(b[1:])
	if u == uuid.Nil || u == uuid.Max {
		return ""
	}
	slices.Reverse(u[0:4])
	slices.Reverse(u[4:6])
	slices.Reverse(u[6:8])
	return u.String()
}

// pickArch chooses among the architectures of option 93, of which a machine may list several (RFC 4578 section 2.1):
// the first one that has a loader, as dnsmasq does with dhcp-match, else the first one.
func pickArch(b []byte, class Class) iana.Arch {
	for at := 0; at+2 <= len(b); at += 2 {
		if a := iana.Arch(binary.BigEndian.Uint16(b[at:])); loaderOf(a, class) != noLoader {
			return a
		}
	}
	return iana.Arch(binary.BigEndian.Uint16(b))
}

// raspberry recognises a Raspberry Pi's boot ROM. It says "PXEClient:Arch:00000:UNDI:002001", as a PC does; only its
// Ethernet address, or its option 97, tells it apart: that begins with "RPi" and the model's digit from the Pi 4 on
// (Raspberry Pi documentation, "Raspberry Pi bootloader configuration", DHCP_OPTION97).
func raspberry(mac MAC, id []byte) bool {
	if len(id) == 17 && id[0] == 0 && string(id[1:4]) == "RPi" {
		return true
	}
	switch [3]byte(mac[:3]) { // Raspberry Pi's blocks in the IEEE's list of MA-L assignments
	case [3]byte{0xb8, 0x27, 0xeb}, [3]byte{0xdc, 0xa6, 0x32}, [3]byte{0xe4, 0x5f, 0x01}, [3]byte{0x28, 0xcd, 0xc1},
		[3]byte{0xd8, 0x3a, 0xdd}, [3]byte{0x2c, 0xcf, 0x67}, [3]byte{0x88, 0xa2, 0x9e}:
		return true
	}
	return false
}

// classArch reads "PXEClient:Arch:00007:UNDI:003016": old ROMs have the architecture there and no option 93.
func classArch(class string) iana.Arch {
	f := strings.Split(class, ":")
	if len(f) < 3 || f[1] != "Arch" {
		return ArchUnknown
	}
	n, err := strconv.ParseUint(f[2], 10, 16)
	if err != nil {
		return ArchUnknown
	}
	return iana.Arch(n)
}

// ipxe looks for iPXE's marks. Option 77 comes bare from iPXE and with a length byte from those who read RFC 3004.
func ipxe(p *dhcpv4.DHCPv4) (is, noHTTP bool) {
	is = bytes.Contains(p.Options.Get(dhcpv4.OptionUserClassInformation), []byte(userClassIPXE))
	features := p.Options.Get(dhcpv4.GenericOptionCode(optIPXE))
	if !is || len(features) == 0 {
		return is, false
	}
	for len(features) >= 2 {
		code, n := features[0], int(features[1])
		if n > len(features)-2 {
			break
		}
		if code == ipxeHTTP {
			return true, false
		}
		features = features[2+n:]
	}
	return true, true
}

// BootClient says that the machine asks for something to boot.
func (r *Request) BootClient() bool { return r.Class != Plain || r.IPXE }

func addr4(ip net.IP) netip.Addr {
	a, ok := netip.AddrFromSlice(ip.To4())
	if !ok {
		return netip.Addr{}
	}
	return a
}
