package netboot

import (
	"sync"
	"time"
)

// Limits of the reports on machines that get no answer.
const (
	tellEvery   = time.Minute
	maxReported = 1024 // machines of one minute; further ones are counted
)

// refusals decides which refusals are reported: each machine's once a minute, and those of at most maxReported machines
// a minute, so that forged requests fill neither the log nor the list of machines. It may be used by several
// goroutines.
type refusals struct {
	mu    sync.Mutex
	told  map[[6]byte]time.Time
	more  int       // refusals of machines beyond maxReported since...
	since time.Time // ...then
}

// due says whether to report the refusal of mac now. more is how many refusals of other machines were not reported
// because of the limit; it is not zero at most once a minute.
func (r *refusals) due(mac [6]byte, now time.Time) (tell bool, more int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.told == nil {
		r.told = map[[6]byte]time.Time{}
	}
	if at, ok := r.told[mac]; ok && now.Sub(at) < tellEvery {
		return false, 0
	}
	if len(r.told) >= maxReported {
		for m, at := range r.told {
			if now.Sub(at) >= tellEvery {
				delete(r.told, m)
			}
		}
	}
	if len(r.told) >= maxReported {
		if r.more++; r.more == 1 {
			r.since = now
		}
		return false, r.overdue(now)
	}
	r.told[mac] = now
	return true, r.overdue(now)
}

func (r *refusals) overdue(now time.Time) int {
	if r.more == 0 || now.Sub(r.since) < tellEvery {
		return 0
	}
	n := r.more
	r.more = 0
	return n
}
