package uplink

import (
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
)

// Whatever a DHCP server answers, a lease has an address, and a router only within its network.
func FuzzLease(f *testing.F) {
	p, err := dhcpv4.New(dhcpv4.WithYourIP([]byte{10, 0, 0, 7}), dhcpv4.WithNetmask([]byte{255, 255, 255, 0}),
		dhcpv4.WithRouter([]byte{10, 0, 0, 1}), dhcpv4.WithLeaseTime(3600))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(p.ToBytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		ack, err := dhcpv4.FromBytes(b)
		if err != nil {
			return
		}
		l, err := read(NIC{Name: "eth0"}, &nclient4.Lease{Offer: ack, ACK: ack})
		if err != nil {
			return
		}
		if l.Prefix.IP.To4() == nil || len(l.Prefix.Mask) != 4 || l.Router != nil && !l.Prefix.Contains(l.Router) {
			t.Errorf("the lease is %+v", l)
		}
	})
}
