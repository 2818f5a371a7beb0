package netboot

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Many reports in a moment are one change, and an interface that was deleted stays so until its index is used again.
func TestLinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLinks()
		ctx, cancel := context.WithCancel(t.Context())
		updates := make(chan netlink.LinkUpdate)
		done := make(chan struct{})
		go func() { l.take(ctx, updates); close(done) }()
		first := l.change()
		report := func(kind uint16, family uint8, index int32) {
			var u netlink.LinkUpdate
			u.Header.Type, u.IfInfomsg.Family, u.IfInfomsg.Index = kind, family, index
			updates <- u
		}
		report(unix.RTM_DELLINK, unix.AF_BRIDGE, 6)
		for i := range int32(3 * maxRemember) {
			report(unix.RTM_DELLINK, unix.AF_UNSPEC, 100+i)
		}
		report(unix.RTM_DELLINK, unix.AF_UNSPEC, 7)
		synctest.Wait()
		if !l.gone(7) || l.gone(6) || len(l.deleted) > maxRemember {
			t.Errorf("gone(7) = %v, gone(6) = %v, %d are remembered", l.gone(7), l.gone(6), len(l.deleted))
		}
		l.fresh(7)
		if l.gone(7) {
			t.Error("an index that is used again is gone")
		}
		<-first
		second := l.change()
		time.Sleep(time.Hour)
		select {
		case <-second:
			t.Error("one moment's reports are two changes")
		default:
		}
		report(unix.RTM_NEWLINK, unix.AF_UNSPEC, 7)
		<-second
		cancel()
		<-done
	})
}
