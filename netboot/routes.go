package netboot

import (
	"encoding/binary"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Why router solicitations are answered: iPXE asks for an IPv6 router in each of its stages and waits 16 seconds for
// one. A unicast advertisement that names no router (lifetime 0) and no prefix ends the wait and changes nothing on the
// network. Only machines that were just seen booting get one, and nobody once a real router was heard, which then
// answers for itself. Sources: RFC 4861 sections 4.1, 4.2 and 6.

const (
	bootingFor   = time.Minute     // how long a machine counts as booting after its last packet
	waitFor      = 5 * time.Second // how long a solicitation waits for its machine to be seen
	maxRemember  = 4096
	solicitation = 133
	advertise    = 134
)

// routes remembers who is booting and whether there is a router. It may be used by several goroutines.
type routes struct {
	heard, malformed, answered atomic.Uint64

	mu      sync.Mutex
	router  bool
	boots   map[[6]byte]time.Time
	waiting map[[6]byte]waiting
}

type waiting struct {
	from netip.Addr
	at   time.Time
}

func newRoutes() *routes {
	return &routes{boots: map[[6]byte]time.Time{}, waiting: map[[6]byte]waiting{}}
}

// booting notes that mac boots from the network. If it has just asked for a router, before it was known, it returns
// where the answer goes.
func (r *routes) booting(mac [6]byte, now time.Time) (netip.Addr, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.boots) >= maxRemember {
		for m, at := range r.boots {
			if now.Sub(at) > bootingFor {
				delete(r.boots, m)
			}
		}
	}
	if len(r.boots) < maxRemember {
		r.boots[mac] = now
	}
	w, ok := r.waiting[mac]
	delete(r.waiting, mac)
	return w.from, ok && !r.router && now.Sub(w.at) <= waitFor
}

// solicited says whether the solicitation of mac is answered.
func (r *routes) solicited(mac [6]byte, from netip.Addr, now time.Time) bool {
	r.heard.Add(1)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.router {
		return false
	}
	if at, ok := r.boots[mac]; ok && now.Sub(at) <= bootingFor {
		return true
	}
	if len(r.waiting) >= maxRemember {
		clear(r.waiting)
	}
	r.waiting[mac] = waiting{from, now}
	return false
}

// routerHeard ends our answers for good, and says whether that is news.
func (r *routes) routerHeard() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	news := !r.router
	r.router = true
	return news
}

// parseSolicitation reads an ICMPv6 message from from, and gives the sender's Ethernet address: that of its option,
// else the one that its link-local address is made from. Solicitations from :: cannot be answered.
func parseSolicitation(b []byte, from netip.Addr) ([6]byte, bool) {
	if len(b) < 8 || b[0] != solicitation || b[1] != 0 || !from.IsLinkLocalUnicast() {
		return [6]byte{}, false
	}
	for o := b[8:]; len(o) >= 8; {
		n := int(o[1]) * 8
		if n == 0 || n > len(o) {
			return [6]byte{}, false
		}
		if o[0] == 1 && n == 8 {
			return [6]byte(o[2:8]), true
		}
		o = o[n:]
	}
	a := from.As16()
	if a[11] != 0xff || a[12] != 0xfe {
		return [6]byte{}, false
	}
	return [6]byte{a[8] ^ 2, a[9], a[10], a[13], a[14], a[15]}, true
}

// namesRouter says whether b is an advertisement of a router that takes traffic.
func namesRouter(b []byte) bool {
	return len(b) >= 16 && b[0] == advertise && b[1] == 0 && binary.BigEndian.Uint16(b[6:]) > 0
}

// advertisement is ours: all zero but for the type and our Ethernet address. The kernel fills in the checksum.
func advertisement(mac []byte) []byte {
	b := make([]byte, 16, 24)
	b[0] = advertise
	if len(mac) == 6 {
		b = append(append(b, 1, 1), mac...)
	}
	return b
}
