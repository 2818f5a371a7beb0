package dhcp

import (
	"net/netip"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// Proxy answers a request on a network where another server leases addresses. port is the local port that received the
// request, 67 or 4011. from is its sender, who gets the answers from port 4011.
func (c *Config) Proxy(r *Request, port int, from netip.AddrPort) Answer {
	if !r.BootClient() {
		return silent("not a boot client")
	}
	if agent, ok := relay(r); ok && !c.serves(agent) {
		return foreign(agent)
	}
	if port == PXEPort {
		return c.bootServer(r, from)
	}
	if r.Type != dhcpv4.MessageTypeDiscover {
		// Requests at port 67 are between the machine and the server that leases.
		return silent("%s is for the other server", r.Type)
	}
	file, reason := c.bootFile(r)
	if file == "" {
		return refuse("%s", reason)
	}
	p := c.reply(r, dhcpv4.MessageTypeOffer)
	c.addBoot(p, r, file)
	return Answer{Reason: reason, Reply: p, To: destination(r, netip.Prefix{}), Boot: file}
}

// foreign refuses what came by way of a relay agent in a network that the configuration does not name.
func foreign(agent netip.Addr) Answer {
	return refuse("relayed from %s, which is not in a served network; to add its network, set dhcp.relay_networks",
		agent)
}

// bootServer answers at port 4011, in both modes: a machine that has its address asks there for the boot file.
func (c *Config) bootServer(r *Request, from netip.AddrPort) Answer {
	if r.Type != dhcpv4.MessageTypeRequest && r.Type != dhcpv4.MessageTypeInform {
		return silent("%s at port %d", r.Type, PXEPort)
	}
	if a := from.Addr(); a.IsValid() && !a.IsUnspecified() && !c.serves(a) {
		return refuse("asked from %s, which is not in a served network", a)
	}
	file, reason := c.bootFile(r)
	if file == "" {
		return refuse("%s", reason)
	}
	p := c.reply(r, dhcpv4.MessageTypeAck)
	p.ClientIPAddr = r.Packet.ClientIPAddr
	c.addBoot(p, r, file)
	if item := r.Packet.Options.Get(dhcpv4.OptionVendorSpecificInformation); len(item) > 0 {
		if echo := bootItem(item); echo != nil {
			p.UpdateOption(dhcpv4.OptGeneric(dhcpv4.OptionVendorSpecificInformation,
				append([]byte{6, 1, 8}, append(echo, 255)...)))
		}
	}
	to := from
	if !to.IsValid() || to.Addr().IsUnspecified() {
		to = netip.AddrPortFrom(broadcastAddr(), ClientPort)
	}
	return Answer{Reason: reason, Reply: p, To: to, Boot: file}
}

// bootItem finds PXE_BOOT_ITEM (option 43, sub-option 71, 4 bytes), which a boot server has to echo.
func bootItem(b []byte) []byte {
	for len(b) >= 2 && b[0] != 255 {
		if b[0] == 0 {
			b = b[1:]
			continue
		}
		n := int(b[1])
		if n > len(b)-2 {
			return nil
		}
		if b[0] == 71 && n == 4 {
			return b[:6:6]
		}
		b = b[2+n:]
	}
	return nil
}

func broadcastAddr() netip.Addr { return netip.AddrFrom4([4]byte{255, 255, 255, 255}) }
