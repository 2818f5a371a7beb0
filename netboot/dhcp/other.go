package dhcp

import (
	"crypto/rand"
	"net"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// Heard is an OFFER or ACK of another server that has an address.
type Heard struct {
	// Server is option 54, else the siaddr field.
	Server netip.Addr
	// Asked says that it answers a question of [Watch.Ask]: it repeats the transaction ID and Ethernet address of the
	// question. ID is the transaction ID. Anyone can send an offer to the network, but only a program that listens can
	// answer two questions.
	Asked bool
	ID    dhcpv4.TransactionID
}

// question is a DISCOVER of ours.
type question struct {
	packet *dhcpv4.DHCPv4
	sent   int
	last   time.Time
}

// The questions of one Watch.
const (
	askedTimes   = 2               // how often the same one is sent
	rememberTime = 2 * time.Minute // how long answers to one are recognised
	maxQuestions = 64
)

// questions are those that may still be answered.
type questions struct {
	own  net.HardwareAddr
	made int
	all  map[dhcpv4.TransactionID]*question
	now  *question
}

// next gives the DISCOVER to send: each one twice, because a port of a switch may swallow the first, then a new one
// with another transaction ID. Every other one is from the Ethernet address of our own interface, which a server that
// serves known machines alone may know; the rest are from random ones, as a new machine would ask.
func (q *questions) next(now time.Time) (*dhcpv4.DHCPv4, error) {
	if q.now == nil || q.now.sent >= askedTimes {
		mac := q.own
		if q.made%2 == 1 || len(mac) != 6 {
			mac = make(net.HardwareAddr, 6)
			rand.Read(mac)
			mac[0] = mac[0]&^1 | 2 // locally administered, of one machine (IEEE 802)
		}
		p, err := dhcpv4.NewDiscovery(mac, dhcpv4.WithBroadcast(true))
		if err != nil {
			return nil, err
		}
		q.made++
		q.now = &question{packet: p}
		for id, old := range q.all {
			if now.Sub(old.last) > rememberTime || len(q.all) >= maxQuestions {
				delete(q.all, id)
			}
		}
		q.all[p.TransactionID] = q.now
	}
	q.now.sent++
	q.now.last = now
	return q.now.packet, nil
}

// hear reads a packet to port 68. It is false for everything that does not come from another server that leases
// addresses: mine is our own. Proxies, which offer no address, are not among them.
func (q *questions) hear(b []byte, mine netip.Addr, now time.Time) (Heard, bool) {
	p, err := dhcpv4.FromBytes(tidy(b))
	if err != nil || p.OpCode != dhcpv4.OpcodeBootReply {
		return Heard{}, false
	}
	if t := p.MessageType(); t != dhcpv4.MessageTypeOffer && t != dhcpv4.MessageTypeAck {
		return Heard{}, false
	}
	if y := addr4(p.YourIPAddr); !y.IsValid() || y.IsUnspecified() {
		return Heard{}, false
	}
	s := addr4(p.ServerIdentifier())
	if !s.IsValid() {
		s = addr4(p.ServerIPAddr)
	}
	if !s.IsValid() || s.IsUnspecified() || s == mine {
		return Heard{}, false
	}
	h := Heard{Server: s}
	if k, ok := q.all[p.TransactionID]; ok && now.Sub(k.last) <= rememberTime &&
		string(p.ClientHWAddr) == string(k.packet.ClientHWAddr) {
		h.Asked, h.ID = true, p.TransactionID
	}
	return h, true
}
