package netboot

import (
	"sync"
	"time"
)

// notice is a kind of trouble of the service as a whole. Lists are in this order.
type notice int

const (
	noticeLink   notice = iota // the interface is gone, or DHCP waits for its link
	noticeOther                // another DHCP server answers
	noticePool                 // no free address
	noticeLeases               // leases cannot be recorded
	noticeKinds
)

// notices are the present problems, one sentence of each kind. They may be used by several goroutines.
type notices struct {
	mu  sync.Mutex
	all [noticeKinds]struct {
		text  string
		until time.Time // zero: until it is cleared
	}
}

// set says text; it counts for a while, or until it is cleared where that is zero.
func (n *notices) set(kind notice, text string, now time.Time, while time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all[kind].text, n.all[kind].until = text, time.Time{}
	if while > 0 {
		n.all[kind].until = now.Add(while)
	}
}

func (n *notices) clear(kind notice) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all[kind].text = ""
}

func (n *notices) list(now time.Time) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var out []string
	for _, e := range n.all {
		if e.text != "" && (e.until.IsZero() || now.Before(e.until)) {
			out = append(out, e.text)
		}
	}
	return out
}
