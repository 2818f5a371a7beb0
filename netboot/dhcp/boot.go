package dhcp

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// maxFile is the size of the fixed file field, with its final zero byte (RFC 2131 section 2).
const maxFile = 128

// The architectures of option 93 that have a loader (RFC 4578 section 2.1 and the IANA registry).
const (
	archBIOS       = 0
	archUEFIBC     = 7 // "EFI BC" in the registry; what x86-64 firmware sends
	archUEFI64     = 9
	archUEFI64HTTP = 16
)

// bootFile chooses by what the machine says of itself; reason tells the choice, or why there is none.
func (c *Config) bootFile(r *Request) (file, reason string) {
	switch {
	case r.IPXE && !r.NoHTTP:
		return c.ScriptURL(r), "iPXE runs: boot script"
	case r.Class == HTTP && r.Arch == archUEFI64HTTP && c.UEFILoader != "":
		return fmt.Sprintf("http://%s/boot/%s", c.host(), c.UEFILoader), "UEFI HTTP boot: loader by HTTP"
	case r.Class == Plain && !r.IPXE:
		return "", "no boot client"
	case r.Class != HTTP && r.Arch == archBIOS && c.BIOSLoader != "":
		return c.BIOSLoader, "BIOS: loader by TFTP"
	case r.Class != HTTP && (r.Arch == archUEFIBC || r.Arch == archUEFI64) && c.UEFILoader != "":
		return c.UEFILoader, "UEFI: loader by TFTP"
	case r.Arch == ArchUnknown:
		return "", "boot client does not say its architecture"
	}
	return "", fmt.Sprintf("no loader for architecture %d", r.Arch)
}

// ScriptURL is where iPXE fetches its script: it puts its SMBIOS UUID in itself (it expands ${} in file names), which
// spares us the byte order of option 97; MAC and architecture are those of the request.
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
	p.UpdateOption(dhcpv4.OptTFTPServerName(c.ServerIP.String()))
	p.UpdateOption(dhcpv4.OptBootFileName(file))
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
