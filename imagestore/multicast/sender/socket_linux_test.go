package sender

import (
	"net"
	"net/netip"
	"testing"
)

// An interface that was made again since the coordinator looked it up has another index and the same name.
func TestSenderFindsItsInterfaceByName(t *testing.T) {
	o := Options{Interface: &net.Interface{Name: "lo", Index: 4711}, Address: netip.MustParseAddr("127.0.0.1"), Group: netip.MustParseAddrPort("239.255.0.1:7469")}
	s, err := openSocket(o)
	if err != nil {
		t.Fatal(err)
	}
	s.conn.Close()
}
