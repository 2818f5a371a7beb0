package dhcp

import (
	"net"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// Full answers a request as the only DHCP server of the network. At port 4011 it answers as [Config.Proxy] does. Its
// only side effect is to call leases, which writes to the disk in Commit.
func (c *Config) Full(r *Request, leases Leaser, port int, from netip.AddrPort) Answer {
	agent, relayed := relay(r)
	switch {
	case port == PXEPort:
		return c.Proxy(r, port, from)
	case relayed && !c.serves(agent):
		return foreign(agent)
	case relayed && c.relayed(agent):
		// Our pool is of our own network. That one has a server for its addresses, and we go along with it.
		return c.Proxy(r, port, from)
	}
	switch r.Type {
	case dhcpv4.MessageTypeDiscover:
		return c.discover(r, leases)
	case dhcpv4.MessageTypeRequest:
		return c.request(r, leases)
	case dhcpv4.MessageTypeInform:
		p := c.reply(r, dhcpv4.MessageTypeAck)
		p.ClientIPAddr = r.Packet.ClientIPAddr
		return c.finish(p, r, 0, "informed")
	case dhcpv4.MessageTypeRelease:
		if err := leases.Release(r.MAC, addr4(r.Packet.ClientIPAddr)); err != nil {
			return silent("release: %v", err)
		}
		return silent("released %s", r.Packet.ClientIPAddr)
	case dhcpv4.MessageTypeDecline:
		a := addr4(r.Packet.RequestedIPAddress())
		if err := leases.Decline(r.MAC, a); err != nil {
			return silent("decline: %v", err)
		}
		return silent("declined %s", a)
	}
	return silent("%s is not a message for a server", r.Type)
}

func (c *Config) discover(r *Request, leases Leaser) Answer {
	a, ttl, err := leases.Offer(r.MAC, addr4(r.Packet.RequestedIPAddress()))
	if err != nil {
		return failed(err, "no address to offer")
	}
	p := c.reply(r, dhcpv4.MessageTypeOffer)
	p.YourIPAddr = a.AsSlice()
	return c.finish(p, r, ttl, "offered "+a.String())
}

// request tells the four kinds of DHCPREQUEST apart as RFC 2131 section 4.3.2 does.
func (c *Config) request(r *Request, leases Leaser) Answer {
	server := addr4(r.Packet.ServerIdentifier())
	if server.IsValid() && server != c.ServerIP {
		return silent("the machine chose the server at %s", server)
	}
	want := addr4(r.Packet.RequestedIPAddress())
	if client := addr4(r.Packet.ClientIPAddr); client.IsValid() && !client.IsUnspecified() {
		want = client // renewing or rebinding
	}
	if !want.IsValid() || want.IsUnspecified() {
		return silent("request without an address")
	}
	if !c.Network.Contains(want) {
		return c.nak(r, want.String()+" is not in this network")
	}
	ttl, verdict, err := leases.Commit(r.MAC, want)
	switch {
	case err != nil:
		// Not acknowledged, so not promised: the machine asks again.
		return failed(err, "leasing "+want.String())
	case verdict == Refused:
		return c.nak(r, want.String()+" does not belong to this machine")
	case verdict == Unknown && server.IsValid():
		return c.nak(r, want.String()+" was not offered")
	case verdict == Unknown:
		// RFC 2131: without a record of this machine another server may know it.
		return silent("%s and %s are not known", net.HardwareAddr(r.MAC[:]), want)
	}
	p := c.reply(r, dhcpv4.MessageTypeAck)
	p.YourIPAddr = want.AsSlice()
	p.ClientIPAddr = r.Packet.ClientIPAddr
	return c.finish(p, r, ttl, "leased "+want.String())
}

// failed refuses for want of an address.
func failed(err error, doing string) Answer {
	a := refuse("%s: %v", doing, err)
	a.Err = err
	return a
}

func (c *Config) nak(r *Request, reason string) Answer {
	p := c.reply(r, dhcpv4.MessageTypeNak)
	to := netip.AddrPortFrom(broadcastAddr(), ClientPort)
	if agent, ok := relay(r); ok {
		p.SetBroadcast() // RFC 2131 section 4.3.2: the relay has to broadcast it
		to = netip.AddrPortFrom(agent, ServerPort)
	}
	p.UpdateOption(dhcpv4.OptMessage(reason))
	return Answer{Reason: "refused: " + reason, Reply: p, To: to}
}

// finish adds what the network's machines want to know, and the boot file for those that ask for one.
func (c *Config) finish(p *dhcpv4.DHCPv4, r *Request, ttl time.Duration, reason string) Answer {
	if ttl > 0 {
		p.UpdateOption(dhcpv4.OptIPAddressLeaseTime(ttl))
	}
	p.UpdateOption(dhcpv4.OptSubnetMask(net.CIDRMask(c.Network.Bits(), 32)))
	if c.Router.IsValid() {
		p.UpdateOption(dhcpv4.OptRouter(c.Router.AsSlice()))
	}
	if len(c.DNS) > 0 {
		var dns []net.IP
		for _, a := range c.DNS {
			dns = append(dns, a.AsSlice())
		}
		p.UpdateOption(dhcpv4.OptDNS(dns...))
	}
	file, why := "", ""
	if r.BootClient() {
		file, why = c.bootFile(r)
		reason += ", " + why
	}
	if file != "" {
		c.addBoot(p, r, file)
	}
	if r.IPXE {
		// We are the only server: iPXE need not wait for a proxy's offer (https://ipxe.org/cfg/no-pxedhcp).
		p.UpdateOption(dhcpv4.OptGeneric(dhcpv4.GenericOptionCode(optIPXE), []byte{ipxeNoProxy, 1, 1}))
	}
	a := Answer{Reason: reason, Reply: p, To: destination(r, c.Network), Boot: file}
	if file == "" {
		a.Refused = why // a boot client that gets an address alone does not boot
	}
	return a
}
