package appliance

import (
	"fmt"
	"net/http"

	"griddle/appliance/quota"
	"griddle/imagestore/remote"
)

// What clients of the two HTTP listeners can hold together. docs/SECURITY.md has these numbers. A client is an address;
// known is who has a valid token, and the address of a machine with a job.
const (
	maxConns       = 2048 // connections
	reservedConns  = 512
	maxPerAddress  = 256
	maxTurns       = 4096 // requests under way
	reservedTurns  = 1024
	turnsEach      = 512
	maxStreams     = 256 << 20 // bytes of memory of streams; the largest one takes 128 MiB
	reservedStream = 128 << 20
	streamEach     = 128 << 20
	streamSlots    = 64
	slotsEach      = 16
	maxLists       = 128 << 20 // bytes of memory of lists
	reservedLists  = 32 << 20
	listsEach      = 32 << 20
	maxBodies      = 32 << 20 // bytes of request bodies, of which each counts twice
	reservedBodies = 8 << 20
	bodiesEach     = 8 << 20
	maxLeasing     = 16 // leases that are just being given
	leasingEach    = 2
)

// limits are the budgets of the two HTTP listeners.
type limits struct {
	conns, turns *quota.Quota
	work         map[remote.Work]*quota.Quota
	// bytes that are asked for at once at the most: what takes more takes all of its share
	most map[remote.Work]int64
}

func newLimits() *limits {
	type amount = quota.Amount
	return &limits{
		conns: quota.New(quota.Options{What: "connections", Total: amount{Slots: maxConns},
			Each: amount{Slots: maxPerAddress}, Reserve: amount{Slots: reservedConns}}),
		turns: quota.New(quota.Options{What: "requests", Total: amount{Slots: maxTurns}, Each: amount{Slots: turnsEach},
			Reserve: amount{Slots: reservedTurns}}),
		work: map[remote.Work]*quota.Quota{
			remote.Streams: quota.New(quota.Options{What: string(remote.Streams),
				Total: amount{Slots: streamSlots, Bytes: maxStreams}, Each: amount{Slots: slotsEach, Bytes: streamEach},
				Reserve: amount{Slots: slotsEach, Bytes: reservedStream}}),
			remote.Lists: quota.New(quota.Options{What: string(remote.Lists), Total: amount{Bytes: maxLists},
				Each: amount{Bytes: listsEach}, Reserve: amount{Bytes: reservedLists}}),
			remote.Bodies: quota.New(quota.Options{What: string(remote.Bodies), Total: amount{Bytes: maxBodies},
				Each: amount{Bytes: bodiesEach}, Reserve: amount{Bytes: reservedBodies}}),
			remote.Leases: quota.New(quota.Options{What: string(remote.Leases), Total: amount{Slots: maxLeasing},
				Each: amount{Slots: leasingEach}, Reserve: amount{Slots: maxLeasing / 4}}),
		},
		most: map[remote.Work]int64{remote.Streams: streamEach, remote.Lists: listsEach, remote.Bodies: bodiesEach},
	}
}

// admit takes from a budget (remote.HandlerOptions).
func (l *limits) admit(what remote.Work, client string, known bool, bytes int64) (remote.Held, error) {
	q := l.work[what]
	if q == nil {
		return nil, fmt.Errorf("%w: %s have no budget", quota.ErrFull, what)
	}
	return q.Take(client, known, min(bytes, l.most[what]))
}

// inTurn lets as many requests through as there are turns. Those of one connection over HTTP/2 count each.
func (l *limits) inTurn(known func(address string) bool, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		address := quota.Key(r.RemoteAddr)
		held, err := l.turns.Take(address, known(address), 0)
		if err != nil {
			w.Header().Set("Retry-After", "1")
			http.Error(w, err.Error()+"; try again a little later", http.StatusServiceUnavailable)
			return
		}
		defer held.Release()
		h.ServeHTTP(w, r)
	})
}
