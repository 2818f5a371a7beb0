package netboot

import (
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"griddle/netboot/dhcp"
)

const (
	// heardFor is how long another server counts as present after its last packet. While one is present we ask every
	// minute, so a server that answers stays so.
	heardFor = 5 * time.Minute
	// proven is how many questions of ours a server must have answered before we step down for it: an offer that
	// someone throws onto the network, knowing no question, does not do that.
	proven     = 2
	maxServers = 16
)

// others remembers the other DHCP servers of a network. It may be used by several goroutines.
type others struct {
	mu      sync.Mutex
	servers map[netip.Addr]*otherServer
	said    time.Time
}

type otherServer struct {
	last     time.Time
	answered []dhcpv4.TransactionID // questions, proven at most
}

// heard notes a packet of another server. It says whether that is to be logged: once a minute at most.
func (o *others) heard(h dhcp.Heard, now time.Time) (say bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.servers == nil {
		o.servers = map[netip.Addr]*otherServer{}
	}
	s := o.servers[h.Server]
	if s == nil || now.Sub(s.last) >= heardFor {
		if s == nil && len(o.servers) >= maxServers {
			o.evict()
		}
		s = &otherServer{}
		o.servers[h.Server] = s
	}
	s.last = now
	if h.Asked && len(s.answered) < proven && !slices.Contains(s.answered, h.ID) {
		s.answered = append(s.answered, h.ID)
	}
	if !o.said.IsZero() && now.Sub(o.said) < tellEvery {
		return false
	}
	o.said = now
	return true
}

// evict makes room: the servers that proved the least go first, of those the one that was silent the longest.
func (o *others) evict() {
	var worst netip.Addr
	for a, s := range o.servers {
		w := o.servers[worst]
		if w == nil || len(s.answered) < len(w.answered) ||
			len(s.answered) == len(w.answered) && s.last.Before(w.last) {
			worst = a
		}
	}
	delete(o.servers, worst)
}

// present lists the servers that were heard within heardFor, by address; with sure only those that are proven.
func (o *others) present(now time.Time, sure bool) []netip.Addr {
	o.mu.Lock()
	defer o.mu.Unlock()
	var out []netip.Addr
	for a, s := range o.servers {
		if now.Sub(s.last) < heardFor && (!sure || len(s.answered) >= proven) {
			out = append(out, a)
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return out
}

// join is "10.0.0.2, 10.0.0.3".
func join(addrs []netip.Addr) string {
	var who []string
	for _, a := range addrs {
		who = append(who, a.String())
	}
	return strings.Join(who, ", ")
}
