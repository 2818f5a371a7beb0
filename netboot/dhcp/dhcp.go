// Package dhcp answers DHCP requests of machines that boot from the network.
//
// Call [Parse] on a datagram, then [Config.Proxy] or [Config.Full] on the request. Both return an [Answer] that depends
// only on their arguments (Full also asks a [Leaser] for addresses). [Server] is the loop around them, [Listen] opens
// its sockets, and a [Watch] looks for other servers.
//
// Two ways to serve a network:
//
//	proxy  Another server leases addresses. This one adds an offer without an address that names the boot file. It
//	       answers only PXE and UEFI HTTP Boot clients, at port 67 (DISCOVER) and at port 4011 (REQUEST, INFORM).
//	full   This server leases addresses to everyone on the interface's own network, and names the boot file on request.
//
// What a boot client gets:
//
//	option 77 "iPXE", option 175   the script's URL: iPXE runs already, so a loader would only start it again
//	option 60 "HTTPClient"         the URL of the UEFI loader
//	option 60 "PXEClient"          by option 93: for 0 the BIOS loader, for 7 (x64 UEFI) and 9 (EBC, which some x64
//	                               firmware sends) the UEFI loader, both by TFTP
//	a Raspberry Pi's ROM           nothing: it says that it is a PC (0), but cannot start a PC's loader
//
// The boot file is in the file field (if shorter than 128 bytes) and in option 67, the server in siaddr and in options
// 54 and 66. Replies to PXE clients have option 43 {6: 8}, "take the boot file from this offer, discover nothing", and
// echo options 60, 61, 82 and 97.
//
// Bytes from the network never cause a panic: [Parse] refuses malformed ones, and every field of a [Request] stays
// hostile.
//
// Sources: RFC 2131, RFC 2132, RFC 3004 (option 77), RFC 4578 (options 93, 94, 97), RFC 6842, the PXE specification 2.1
// of Intel (section 2, options 43 and 60), the UEFI specification 2.10 section 24.7 (HTTP Boot).
package dhcp

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// The ports of RFC 2131 section 4.1 and of the PXE specification section 2.2.3.
const (
	ServerPort = 67
	ClientPort = 68
	PXEPort    = 4011
)

// Config is what the answers depend on. ServerIP is required.
type Config struct {
	// ServerIP is this server's IPv4 address on the interface.
	ServerIP netip.Addr
	// HTTPPort is the port of the boot script and of the loaders for UEFI HTTP Boot; zero means 8080.
	HTTPPort uint16
	// BIOSLoader and UEFILoader name files of the TFTP server, such as undionly.kpxe and snponly.efi. Machines of a
	// kind without a loader get no boot file.
	BIOSLoader, UEFILoader string

	// Network is the network of the interface, with its mask. Full mode refuses addresses outside it. Relay agents in
	// it are answered.
	Network netip.Prefix
	// Relays are the networks behind relay agents whose machines may boot from here; another server gives them their
	// addresses. Requests through any other network are refused.
	Relays []netip.Prefix
	// Router and DNS are sent in full mode; the zero value of either leaves the option out.
	Router netip.Addr
	DNS    []netip.Addr
}

// Leaser hands out addresses. Its methods may be called at the same time.
type Leaser interface {
	// Offer reserves an address for mac for a short time: want if possible, which may be the zero Addr. The error says
	// why the machine gets no address.
	Offer(mac MAC, want netip.Addr) (netip.Addr, time.Duration, error)
	// Commit leases addr to mac. If it returns Granted, the lease survives a power cut.
	Commit(mac MAC, addr netip.Addr) (time.Duration, Verdict, error)
	// Release ends the lease of addr if mac holds it.
	Release(mac MAC, addr netip.Addr) error
	// Decline blocks addr for some time if mac holds it: another machine uses it.
	Decline(mac MAC, addr netip.Addr) error
}

// MAC is an Ethernet address.
type MAC = [6]byte

// Verdict is what a [Leaser] says to a request for an address.
type Verdict int

// The verdicts.
const (
	Granted Verdict = iota
	Refused         // another machine has the address, or this machine has another one
	Unknown         // this machine and address are not known
)

// Answer is how to answer a request.
type Answer struct {
	// Reason says why, in a few words, for the log and the goldens.
	Reason string
	// Reply is nil if there is no answer.
	Reply *dhcpv4.DHCPv4
	// To is where to send Reply: 255.255.255.255 for machines that have no address yet.
	To netip.AddrPort
	// Boot is the boot file in Reply, "" without one.
	Boot string
	// Refused is why the machine does not get an address or a boot file that it asked this server for, with a Reply or
	// without. "" means that it gets all, or that the packet is not for this server.
	Refused string
	// Err is the Leaser's error that caused a refusal, or nil.
	Err error
}

// silent is for packets that are not for us.
func silent(format string, args ...any) Answer {
	return Answer{Reason: fmt.Sprintf(format, args...)}
}

// refuse is for machines that wait for an answer in vain.
func refuse(format string, args ...any) Answer {
	why := fmt.Sprintf(format, args...)
	return Answer{Reason: why, Refused: why}
}

// relay is the address of the relay agent that forwarded r (giaddr, RFC 2131 section 4.1), false if r came directly.
func relay(r *Request) (netip.Addr, bool) {
	a := addr4(r.Packet.GatewayIPAddr)
	return a, a.IsValid() && !a.IsUnspecified()
}

// serves says whether we answer to a, which a packet names as its relay agent or sender: a host of our network, or of a
// network that the configuration names. Without that the sender of a packet could direct our replies to any host.
func (c *Config) serves(a netip.Addr) bool {
	if !a.Is4() || a.IsUnspecified() || a.IsLoopback() || a.IsMulticast() || a == c.ServerIP || a == broadcastAddr() {
		return false
	}
	if c.Network.IsValid() && c.Network.Contains(a) {
		return a != Broadcast(c.Network) || c.Network.Bits() > 30
	}
	return c.relayed(a)
}

// relayed says whether a is in a network behind a relay agent that the configuration names.
func (c *Config) relayed(a netip.Addr) bool {
	return !c.Network.Contains(a) && slices.ContainsFunc(c.Relays, func(p netip.Prefix) bool {
		return p.Contains(a) && (a != Broadcast(p) || p.Bits() > 30)
	})
}

// Broadcast is the broadcast address of an IPv4 network.
func Broadcast(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().As4()
	for i := p.Bits(); i < 32; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	return netip.AddrFrom4(b)
}

// destination says where a reply to a request at port 67 goes (RFC 2131 section 4.1). Machines that accept unicast
// before they have an address are broadcast to as well: the kernel would ask for their address by ARP, in vain.
func destination(r *Request, mine netip.Prefix) netip.AddrPort {
	if agent, ok := relay(r); ok {
		return netip.AddrPortFrom(agent, ServerPort)
	}
	if c := addr4(r.Packet.ClientIPAddr); mine.IsValid() && mine.Contains(c) && !r.Packet.IsBroadcast() {
		return netip.AddrPortFrom(c, ClientPort)
	}
	return netip.AddrPortFrom(broadcastAddr(), ClientPort)
}
