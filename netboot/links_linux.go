package netboot

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// pollLinks is how often the interface is looked at although the kernel reports nothing: its reports may get lost.
const pollLinks = 10 * time.Second

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

// signal reports a change; deleted is the index of an interface that is gone, zero for none.
func (l *links) signal(deleted int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if deleted != 0 {
		if len(l.deleted) >= maxRemember { // long forgotten by all who asked
			clear(l.deleted)
		}
		l.deleted[deleted] = true
	}
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
			l.signal(0) // what happened before was not reported
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

func (l *links) take(ctx context.Context, updates <-chan netlink.LinkUpdate) {
	for {
		select {
		case <-ctx.Done():
			return
		case u, ok := <-updates:
			switch {
			case !ok:
				return
			case u.Header.Type == unix.RTM_DELLINK && u.IfInfomsg.Family == unix.AF_UNSPEC: // AF_BRIDGE: it left its bridge
				l.signal(int(u.IfInfomsg.Index))
			default:
				l.signal(0)
			}
		}
	}
}
