package dhcp

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"
)

// maxFile is the size of the fixed file field, with its final zero byte (RFC 2131 section 2).
const maxFile = 128

// loaderKind is which of our loaders a machine can start.
type loaderKind int

const (
	noLoader loaderKind = iota
	biosLoader
	uefiLoader     // by TFTP
	uefiHTTPLoader // by HTTP
)

// loaderOf names the loader for an architecture of option 93. The names are those of the IANA registry "Processor
// Architecture Types", which follows the errata of RFC 4578: 7 is x64 UEFI, and 9 is EBC, EFI byte code. x64 firmware
// sends 7; some of it, made after the RFC's first text, sends 9, which no machine uses for byte code.
func loaderOf(a iana.Arch, class Class) loaderKind {
	switch {
	case class == HTTP && a == iana.EFI_X86_64_HTTP:
		return uefiHTTPLoader
	case class == HTTP:
		return noLoader
	case a == iana.INTEL_X86PC:
		return biosLoader
	case a == iana.EFI_X86_64 || a == iana.EFI_BC:
		return uefiLoader
	}
	return noLoader
}

// runsPC says whether a machine whose iPXE names this architecture can start an x86-64 kernel. A script may be asked
// for without an architecture; those who do are PCs.
func runsPC(a iana.Arch) bool {
	switch a {
	case ArchUnknown, iana.INTEL_X86PC, iana.EFI_IA32, iana.EFI_X86_64, iana.EFI_BC, iana.EFI_X86_HTTP,
		iana.EFI_X86_64_HTTP,
		iana.EFI_BC_HTTP, iana.INTEL_X86PC_HTTP:
		return true
	}
	return false
}

// bootFile chooses by what the machine says of itself; reason tells the choice, or why there is none.
func (c *Config) bootFile(r *Request) (file, reason string) {
	if r.IPXE && !r.NoHTTP {
		if !runsPC(r.Arch) {
			return "", fmt.Sprintf("no kernel for the architecture %s", archName(r.Arch))
		}
		return c.ScriptURL(r), "iPXE runs: boot script"
	}
	if r.Class == Plain && !r.IPXE {
		return "", "not a boot client"
	}
	if r.Pi {
		return "", "no loader for a Raspberry Pi"
	}
	switch kind := loaderOf(r.Arch, r.Class); {
	case kind == uefiHTTPLoader && c.UEFILoader != "":
		return fmt.Sprintf("http://%s/boot/%s", c.host(), c.UEFILoader), "UEFI HTTP boot: loader by HTTP"
	case kind == biosLoader && c.BIOSLoader != "":
		return c.BIOSLoader, "BIOS: loader by TFTP"
	case kind == uefiLoader && c.UEFILoader != "":
		return c.UEFILoader, "UEFI: loader by TFTP"
	case r.Arch == ArchUnknown:
		return "", "the request has no architecture"
	}
	return "", fmt.Sprintf("no loader for the architecture %s", archName(r.Arch))
}

// archName is "11 (EFI ARM64)".
func archName(a iana.Arch) string { return fmt.Sprintf("%d (%s)", uint16(a), a) }

// ScriptURL is the URL where iPXE fetches its script. iPXE itself adds its SMBIOS UUID (it expands ${} in file names),
// so the byte order of option 97 does not matter here. MAC and architecture are those of the request.
func (c *Config) ScriptURL(r *Request) string {
	arch := "${platform}" // pcbios or efi
	if r.Arch != ArchUnknown {
		arch = strconv.Itoa(int(r.Arch))
	}
	return fmt.Sprintf("http://%s/boot.ipxe?mac=%s&uuid=${uuid}&arch=%s", c.host(), net.HardwareAddr(r.MAC[:]), arch)
}

func (c *Config) host() string {
	port := c.HTTPPort
	if port == 0 {
		port = 8080
	}
	return netip.AddrPortFrom(c.ServerIP, port).String()
}

// reply is the part that all our replies have.
func (c *Config) reply(r *Request, t dhcpv4.MessageType) *dhcpv4.DHCPv4 {
	p := &dhcpv4.DHCPv4{
		OpCode:        dhcpv4.OpcodeBootReply,
		HWType:        r.Packet.HWType,
		ClientHWAddr:  r.Packet.ClientHWAddr,
		TransactionID: r.Packet.TransactionID,
		Flags:         r.Packet.Flags,
		GatewayIPAddr: r.Packet.GatewayIPAddr,
		ClientIPAddr:  net.IPv4zero,
		YourIPAddr:    net.IPv4zero,
		ServerIPAddr:  net.IPv4zero,
		Options:       dhcpv4.Options{},
	}
	p.UpdateOption(dhcpv4.OptMessageType(t))
	p.UpdateOption(dhcpv4.OptServerIdentifier(c.ServerIP.AsSlice()))
	// Option 61 comes back by RFC 6842, 82 by RFC 3046, 97 by RFC 4578 section 2.3.
	for _, code := range []dhcpv4.OptionCode{dhcpv4.OptionClientIdentifier, dhcpv4.OptionRelayAgentInformation,
		dhcpv4.OptionClientMachineIdentifier} {
		if v := r.Packet.Options.Get(code); len(v) > 0 {
			p.Options[code.Code()] = v
		}
	}
	return p
}

// addBoot puts file into p the way the machine's class wants it.
func (c *Config) addBoot(p *dhcpv4.DHCPv4, r *Request, file string) {
	p.ServerIPAddr = c.ServerIP.AsSlice()
	// Both end with a zero byte: BIOS ROMs read them as strings of C, and without it ask the TFTP server for the name
	// and whatever follows it in the packet. Receivers have to take the zero off (RFC 2132 section 2); iPXE and EDK2
	// do.
	p.UpdateOption(dhcpv4.OptTFTPServerName(c.ServerIP.String() + "\x00"))
	p.UpdateOption(dhcpv4.OptBootFileName(file + "\x00"))
	if len(file) < maxFile {
		p.BootFileName = file
	}
	if r.Class == HTTP {
		// EDK2 takes an offer as one for HTTP Boot only with this class in it.
		p.UpdateOption(dhcpv4.OptClassIdentifier(classHTTP))
		return
	}
	p.UpdateOption(dhcpv4.OptClassIdentifier(classPXE))
	// PXE_DISCOVERY_CONTROL bit 3: boot this file, ask no boot server. Without it EDK2 asks port 4011 first.
	p.UpdateOption(dhcpv4.OptGeneric(dhcpv4.OptionVendorSpecificInformation, []byte{6, 1, 8, 255}))
}
