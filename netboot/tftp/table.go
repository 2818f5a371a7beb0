package tftp

import (
	"net/netip"
	"sync"
	"time"
)

// table holds the transfers that are under way: at most max. Where it is full, a new one takes the place of
//
//   - the oldest transfer whose client never answered: it may have gone, or its address may be forged;
//   - else, if one address has at least two transfers more than the new client's, the one of it that
//     was silent longest.
//
// Else there is no place. So a client that answers is never refused because of what others abandoned, machines behind
// one address (NAT) may all boot at once, and one address alone cannot keep all others out.
type table struct {
	max int

	mu   sync.Mutex
	by   map[netip.AddrPort]*place
	from map[netip.Addr]int
}

// place is one transfer's. Its fields are the table's, guarded by its lock.
type place struct {
	client   netip.AddrPort
	request  request
	answered bool      // an acknowledgement came
	heard    time.Time // the last sign of the client
	end      func()    // ends the transfer
}

func newTable(max int) *table {
	return &table{max: max, by: map[netip.AddrPort]*place{}, from: map[netip.Addr]int{}}
}

// repeated says whether this very request is being answered already and waits for its client: the client repeats
// itself.
func (t *table) repeated(client netip.AddrPort, r request) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	old := t.by[client]
	return old != nil && !old.answered && old.request == r
}

// enter gives a request a place, or returns nil. end ends its transfer when another takes the place over; it must not
// block.
func (t *table) enter(client netip.AddrPort, r request, now time.Time, end func()) *place {
	t.mu.Lock()
	defer t.mu.Unlock()
	old := t.by[client]
	if old == nil && len(t.by) >= t.max {
		if old = t.victim(client.Addr()); old == nil {
			return nil
		}
	}
	if old != nil { // the same socket asks for something else, or old makes room
		t.remove(old)
		old.end()
	}
	p := &place{client: client, request: r, heard: now, end: end}
	t.by[client] = p
	t.from[client.Addr()]++
	return p
}

func (t *table) victim(newcomer netip.Addr) *place {
	var abandoned, silent *place
	most := t.from[newcomer] + 2
	for _, n := range t.from {
		most = max(most, n)
	}
	for _, p := range t.by {
		if !p.answered && (abandoned == nil || p.heard.Before(abandoned.heard)) {
			abandoned = p
		}
		if t.from[p.client.Addr()] == most && (silent == nil || p.heard.Before(silent.heard)) {
			silent = p
		}
	}
	if abandoned != nil {
		return abandoned
	}
	return silent
}

// answer notes that the client of p is there.
func (t *table) answer(p *place, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p.answered, p.heard = true, now
}

// leave frees p, unless another has taken it over.
func (t *table) leave(p *place) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.by[p.client] == p {
		t.remove(p)
	}
}

func (t *table) remove(p *place) {
	delete(t.by, p.client)
	if t.from[p.client.Addr()]--; t.from[p.client.Addr()] == 0 {
		delete(t.from, p.client.Addr())
	}
}

// endAll ends every transfer.
func (t *table) endAll() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range t.by {
		p.end()
	}
}
