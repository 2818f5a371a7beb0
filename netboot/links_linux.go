package netboot

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// pollLinks is how often the interface is checked without a report of the kernel: a report may get lost.
const pollLinks = 10 * time.Second

// gatherLinks is how long reports are gathered: hosts of many containers have hundreds a second, and those that wait
// for a change look at all interfaces.
const gatherLinks = 100 * time.Millisecond

// links follows the kernel's reports on network interfaces. It may be used by several goroutines.
type links struct {
	mu      sync.Mutex
	deleted map[int]bool // interfaces by index
	changed chan struct{}
}

func newLinks() *links { return &links{deleted: map[int]bool{}, changed: make(chan struct{})} }

// change returns a channel that is closed at the next report.
func (l *links) change() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.changed
}

// remove notes that the interface of that index was deleted.
func (l *links) remove(index int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.deleted) >= maxRemember { // long forgotten by all who asked
		clear(l.deleted)
	}
	l.deleted[index] = true
}

// signal reports a change.
func (l *links) signal() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.changed)
	l.changed = make(chan struct{})
}

// gone says whether the interface of that index was deleted since fresh was called for it. Another one may have its
// index now, to which no socket of before is bound.
func (l *links) gone(index int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.deleted[index]
}

func (l *links) fresh(index int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.deleted, index)
}

// follow listens to the kernel until ctx ends.
func (l *links) follow(ctx context.Context, log *slog.Logger) error {
	for ctx.Err() == nil {
		done := make(chan struct{})
		updates := make(chan netlink.LinkUpdate, 64)
		err := netlink.LinkSubscribeWithOptions(updates, done, netlink.LinkSubscribeOptions{
			ErrorCallback: func(err error) { log.Debug("listening to the kernel's reports on interfaces", "err", err) },
		})
		if err != nil {
			log.Debug("listening to the kernel's reports on interfaces", "err", err)
		} else {
			l.signal() // what happened before was not reported
			l.take(ctx, updates)
		}
		close(done)
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
	return nil
}

// take passes reports on until updates or ctx ends.
func (l *links) take(ctx context.Context, updates <-chan netlink.LinkUpdate) {
	var due <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-due:
			due = nil
			l.signal()
		case u, ok := <-updates:
			if !ok {
				return
			}
			if u.Header.Type == unix.RTM_DELLINK && u.IfInfomsg.Family == unix.AF_UNSPEC {
				// AF_BRIDGE: it left its bridge
				l.remove(int(u.IfInfomsg.Index))
			}
			if due == nil {
				due = time.After(gatherLinks)
			}
		}
	}
}
