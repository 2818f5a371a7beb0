// Package quota limits what clients that did not prove who they are can hold at the same time: slots, such as
// transfers under way, and bytes of memory or disk. Make a Quota with New, Take from it before the work begins, Grow
// the Hold as more is needed, and Release it when the work ends.
//
// A limit has three parts, and each is one number of slots and one of bytes:
//
//	|<------------------------- Total ------------------------->|
//	|<------- strangers, all together ------->|<--- Reserve --->|
//	|<- Each ->|                                only known ones
//
// Total is what all clients together hold at most. Reserve is the part of it that only known clients get: machines
// and people that proved who they are before. A stranger is refused when all strangers together hold Total less
// Reserve, so that a known client finds room whatever strangers do. Each is what one client holds at most, known or
// not: no other client loses room by it. A client is named by a key; Key makes one of an address.
//
// Nothing waits: a caller that is refused answers "busy, try again later" (HTTP status 503), which costs nothing.
// A Quota keeps one small entry for each client that holds something now, so its own memory is bounded by Total.Slots.
//
// All methods may be called from several goroutines.
package quota

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
)

// ErrFull is wrapped by every refusal.
var ErrFull = errors.New("the server has too much work")

// Amount is a number of slots and of bytes. In Options, zero slots or bytes mean that they are not limited.
type Amount struct {
	Slots int
	Bytes int64
}

// Options are the limits. Reserve must be less than Total, and counts only where Total is limited.
type Options struct {
	What    string // names the resource in errors: "image streams"
	Total   Amount // all clients together
	Each    Amount // one client
	Reserve Amount // of Total, for known clients only
}

// Quota is one limited resource.
type Quota struct {
	o Options

	mu        sync.Mutex
	held      Amount // by all
	strangers Amount // by those that are not known
	clients   map[string]Amount
}

// New makes a Quota. It panics where Reserve leaves strangers nothing: that is a mistake in the program.
func New(o Options) *Quota {
	if o.Total.Slots > 0 && o.Reserve.Slots >= o.Total.Slots || o.Total.Bytes > 0 && o.Reserve.Bytes >= o.Total.Bytes {
		panic(fmt.Sprintf("quota: the reserve of %s is all of it", o.What))
	}
	return &Quota{o: o, clients: map[string]Amount{}}
}

// Take takes one slot and n bytes, n >= 0, for the client that key names; known opens the reserve to it. The error
// wraps ErrFull, and says which limit is reached; nothing is taken then.
func (q *Quota) Take(key string, known bool, n int64) (*Hold, error) {
	h := &Hold{q: q, key: key, known: known}
	if err := q.add(h, Amount{1, n}); err != nil {
		return nil, err
	}
	return h, nil
}

// Held is what all clients hold now.
func (q *Quota) Held() Amount {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.held
}

// Hold is what one client holds.
type Hold struct {
	q     *Quota
	key   string
	known bool
	has   Amount // under q.mu
}

// Grow takes n more bytes, n >= 0, under the limits of Take. After an error the Hold has what it had before.
func (h *Hold) Grow(n int64) error { return h.q.add(h, Amount{0, n}) }

// Release gives everything back. A second call does nothing.
func (h *Hold) Release() {
	h.q.mu.Lock()
	defer h.q.mu.Unlock()
	back := Amount{-h.has.Slots, -h.has.Bytes}
	h.has = Amount{}
	h.q.put(h, back)
}

// add puts more into h, or says which limit it would pass.
func (q *Quota) add(h *Hold, more Amount) error {
	if more.Bytes < 0 {
		panic("quota: less than nothing is taken")
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if more.Slots == 0 && h.has.Slots == 0 {
		panic("quota: a Hold grows that was released")
	}
	if what := q.o.Each.passed(q.clients[h.key], more); what != "" {
		return fmt.Errorf("%w: %s: %s has all %s that one client may have", ErrFull, q.o.What, h.key, what)
	}
	if what := q.o.Total.passed(q.held, more); what != "" {
		return fmt.Errorf("%w: %s: all %s are in use", ErrFull, q.o.What, what)
	}
	if !h.known {
		if what := q.o.open().passed(q.strangers, more); what != "" {
			return fmt.Errorf("%w: %s: unknown clients have all %s that are not reserved",
				ErrFull, q.o.What, what)
		}
	}
	h.has = h.has.plus(more)
	q.put(h, more)
	return nil
}

// put counts more, which may be negative, for h's client.
func (q *Quota) put(h *Hold, more Amount) {
	q.held = q.held.plus(more)
	if !h.known {
		q.strangers = q.strangers.plus(more)
	}
	if has := q.clients[h.key].plus(more); has != (Amount{}) {
		q.clients[h.key] = has
	} else {
		delete(q.clients, h.key)
	}
}

// open is the part of the total that strangers get.
func (o Options) open() Amount {
	a := o.Total
	if a.Slots > 0 {
		a.Slots -= o.Reserve.Slots
	}
	if a.Bytes > 0 {
		a.Bytes -= o.Reserve.Bytes
	}
	return a
}

func (a Amount) plus(b Amount) Amount { return Amount{a.Slots + b.Slots, a.Bytes + b.Bytes} }

// passed says what of the limit more would pass, beside what is held: "N slots", "N bytes", or "" for nothing. It
// subtracts, so that a huge number does not wrap round.
func (limit Amount) passed(held, more Amount) string {
	if limit.Slots > 0 && more.Slots > limit.Slots-held.Slots {
		return fmt.Sprintf("%d slots", limit.Slots)
	}
	if limit.Bytes > 0 && more.Bytes > limit.Bytes-held.Bytes {
		return fmt.Sprintf("%d bytes", limit.Bytes)
	}
	return ""
}

// Key names the client behind a remote address, "10.0.0.7:4711" or "[fe80::1%eth0]:80": an IPv4 address alone, the
// first 64 bits of an IPv6 address, because a host picks the rest itself (RFC 4291 section 2.5.1). What is not an
// address is its own key.
func Key(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		host = remote
	}
	a, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	if a = a.Unmap().WithZone(""); a.Is4() {
		return a.String()
	}
	p, err := a.Prefix(64)
	if err != nil {
		return a.String()
	}
	return p.String()
}
