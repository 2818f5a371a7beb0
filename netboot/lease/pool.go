package lease

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Outcome is what Commit decided.
type Outcome int

// The outcomes.
const (
	Granted Outcome = iota
	Refused         // another machine has the address, or this machine has another one
	Unknown         // this machine has neither an offer nor a lease
)

// Pool leases the addresses of a Config.
type Pool struct {
	dropped int
	trouble error

	mu      sync.Mutex
	conf    Config // but for Path, which does not change
	journal *journal
	byAddr  map[netip.Addr]Lease // also those that ended, until another machine gets the address
	byMAC   map[MAC]netip.Addr   // the same, by machine
	offers  map[netip.Addr]Lease
	offered map[MAC]netip.Addr
	keeper  map[netip.Addr]MAC // reservations by address
	next    netip.Addr         // where the search for a free address goes on
}

// Open reads the journal at c.Path, and creates it if it does not exist.
func Open(c Config) (*Pool, error) {
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("checking the address pool: %w", err)
	}
	if c.Time == 0 {
		c.Time = DefaultTime
	}
	p := &Pool{
		conf: c, byAddr: map[netip.Addr]Lease{}, byMAC: map[MAC]netip.Addr{}, next: c.First,
		offers: map[netip.Addr]Lease{}, offered: map[MAC]netip.Addr{}, keeper: map[netip.Addr]MAC{},
	}
	for mac, a := range c.Reserved {
		p.keeper[a] = mac
	}
	j, records, dropped, err := openJournal(c.Path)
	if err != nil {
		return nil, err
	}
	for _, r := range records {
		p.apply(r)
	}
	p.journal, p.dropped = j, dropped
	switch err := j.rewrite(p.records()); {
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		// The journal is as good as before. What it knows is renewed as soon as there is room for a record.
		p.trouble = err
		if dropped > 0 {
			j.broken.Store(true)
		} else {
			j.keep(len(records))
		}
	case err != nil:
		j.close()
		return nil, err
	}
	return p, nil
}

// Trouble is why Open could not rewrite the journal, or nil: the disk is full. The pool works as soon as the disk has
// room.
func (p *Pool) Trouble() error { return p.trouble }

// Reconfigure changes the range, the reservations and the lease time from the next offer on. c.Path is ignored. An
// address outside the new range stays leased until its machine asks to renew it; the renewal is refused. If Reconfigure
// returns an error, nothing has changed.
func (p *Pool) Reconfigure(c Config) error {
	c.Path = p.conf.Path
	if err := c.validate(); err != nil {
		return fmt.Errorf("checking the address pool: %w", err)
	}
	if c.Time == 0 {
		c.Time = DefaultTime
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conf, p.next = c, c.First
	clear(p.keeper)
	for mac, a := range c.Reserved {
		p.keeper[a] = mac
	}
	return nil
}

// Holds says whether mac has a lease that has not ended.
func (p *Pool) Holds(mac MAC) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	l, ok := p.byAddr[p.byMAC[mac]]
	return ok && l.MAC == mac && !l.Declined && l.End.After(time.Now())
}

// Close waits for the journal and closes it. Call no method after Close.
func (p *Pool) Close() error { return p.journal.close() }

// Dropped is how many damaged lines Open found in the journal.
func (p *Pool) Dropped() int { return p.dropped }

// apply is the only place that changes leases.
func (p *Pool) apply(r record) {
	switch r.verb {
	case verbLease:
		if old, ok := p.byMAC[r.MAC]; ok && old != r.Addr && !p.byAddr[old].Declined {
			delete(p.byAddr, old)
		}
		if last, ok := p.byAddr[r.Addr]; ok && last.MAC != r.MAC && p.byMAC[last.MAC] == r.Addr {
			delete(p.byMAC, last.MAC)
		}
		p.byAddr[r.Addr] = r.Lease
		p.byMAC[r.MAC] = r.Addr
	case verbRelease:
		// The lease is over; that the machine had it last is still known.
		if l := p.byAddr[r.Addr]; l.MAC == r.MAC && !l.Declined {
			l.End = time.Unix(0, 0)
			p.byAddr[r.Addr] = l
		}
	case verbDecline:
		l := r.Lease
		l.Declined = true
		p.byAddr[r.Addr] = l
		if p.byMAC[r.MAC] == r.Addr {
			delete(p.byMAC, r.MAC)
		}
	}
}

// records is the state as the shortest journal that makes it.
func (p *Pool) records() []record {
	var rs []record
	for _, l := range p.byAddr {
		verb := verbLease
		if l.Declined {
			verb = verbDecline
		}
		rs = append(rs, record{verb: verb, Lease: l})
	}
	slices.SortFunc(rs, func(a, b record) int { return a.Addr.Compare(b.Addr) })
	return rs
}

// Leases lists the addresses that are leased or blocked now, sorted by address.
func (p *Pool) Leases() []Lease {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	var ls []Lease
	for _, r := range p.records() {
		if r.End.After(now) {
			ls = append(ls, r.Lease)
		}
	}
	return ls
}

// Offer reserves an address for mac for a minute. In this order it takes the machine's reservation, its lease, its last
// address, want, or the next free address. The duration is the lease time. The error wraps ErrFull.
func (p *Pool) Offer(mac MAC, want netip.Addr) (netip.Addr, time.Duration, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	a, ok := p.choose(mac, want, now)
	if !ok {
		return netip.Addr{}, 0, fmt.Errorf("offering an address between %s and %s: %w", p.conf.First,
			p.conf.Last, ErrFull)
	}
	if old, ok := p.offered[mac]; ok {
		delete(p.offers, old)
	}
	if stale, ok := p.offers[a]; ok {
		delete(p.offered, stale.MAC)
	}
	p.offers[a] = Lease{MAC: mac, Addr: a, End: now.Add(offerTime)}
	p.offered[mac] = a
	return a, p.conf.Time, nil
}

func (p *Pool) choose(mac MAC, want netip.Addr, now time.Time) (netip.Addr, bool) {
	if a, ok := p.conf.Reserved[mac]; ok {
		return a, p.free(a, mac, now)
	}
	for _, a := range []netip.Addr{p.byMAC[mac], p.offered[mac], want} {
		if a.IsValid() && p.free(a, mac, now) {
			return a, true
		}
	}
	// Round robin, so that an address rests as long as possible before another machine gets it.
	for a, n := p.next, number(p.conf.Last)-number(p.conf.First)+1; n > 0; n-- {
		next := a.Next()
		if p.conf.Last.Less(next) {
			next = p.conf.First
		}
		if p.free(a, mac, now) {
			p.next = next
			return a, true
		}
		a = next
	}
	return netip.Addr{}, false
}

// free says whether mac may have a.
func (p *Pool) free(a netip.Addr, mac MAC, now time.Time) bool {
	if owner, ok := p.keeper[a]; ok {
		if owner != mac {
			return false
		}
	} else if a.Less(p.conf.First) || p.conf.Last.Less(a) || slices.Contains(p.conf.Exclude, a) {
		return false
	}
	if l, ok := p.byAddr[a]; ok && l.End.After(now) && (l.Declined || l.MAC != mac) {
		return false
	}
	o, ok := p.offers[a]
	return !ok || o.MAC == mac || !o.End.After(now)
}

// Commit leases a to mac and returns when the lease is on the disk. Refused and Unknown change nothing. After an error
// the lease may be on the disk or not; the machine gets no answer and asks again.
func (p *Pool) Commit(mac MAC, a netip.Addr) (time.Duration, Outcome, error) {
	p.mu.Lock()
	now := time.Now()
	mine := p.byMAC[mac]
	known := p.offered[mac] == a || mine == a || p.conf.Reserved[mac] == a
	if !known || !p.free(a, mac, now) {
		l, ok := p.byAddr[a]
		taken := ok && l.End.After(now)
		p.mu.Unlock()
		if taken || mine.IsValid() {
			return 0, Refused, nil
		}
		return 0, Unknown, nil
	}
	r := record{verb: verbLease, Lease: Lease{MAC: mac, Addr: a, End: now.Add(p.conf.Time).Truncate(time.Second)}}
	p.apply(r)
	delete(p.offers, a)
	delete(p.offered, mac)
	ttl := p.conf.Time
	err := p.write(r)
	if err != nil {
		return 0, Unknown, fmt.Errorf("recording a lease: %w", err)
	}
	return ttl, Granted, nil
}

// write appends r, called with mu held; it gives mu back while it waits for the disk.
func (p *Pool) write(r record) error {
	wait := p.journal.append(r)
	if p.journal.broken.Load() || p.journal.lines.Load() > int64(4*len(p.byAddr)+1024) {
		p.journal.replace(p.records())
	}
	p.mu.Unlock()
	return wait()
}

// Release ends mac's lease of a. The machine gets the same address again if it is still free then.
func (p *Pool) Release(mac MAC, a netip.Addr) error {
	p.mu.Lock()
	if l, ok := p.byAddr[a]; !ok || l.MAC != mac || l.Declined {
		p.mu.Unlock()
		return fmt.Errorf("releasing %s: %w", a, ErrNotHeld)
	}
	r := record{verb: verbRelease, Lease: Lease{MAC: mac, Addr: a}}
	p.apply(r)
	return p.write(r)
}

// Decline blocks a for a day if mac has it: the machine found that another machine uses it.
func (p *Pool) Decline(mac MAC, a netip.Addr) error {
	p.mu.Lock()
	if l, ok := p.byAddr[a]; !ok || l.MAC != mac || l.Declined {
		p.mu.Unlock()
		return fmt.Errorf("declining %s: %w", a, ErrNotHeld)
	}
	r := record{verb: verbDecline, Lease: Lease{MAC: mac, Addr: a, End: time.Now().Add(declineTime)}}
	p.apply(r)
	return p.write(r)
}
