package lxdtest

import (
	"net"
	"runtime"
	"time"

	"github.com/vishvananda/netns"
)

// Dial connects to an address of TCP from inside a network namespace.
func Dial(namespace, address string, limit time.Duration) (c net.Conn, err error) {
	err2 := within(namespace, func() { c, err = net.DialTimeout("tcp4", address, limit) })
	if err2 != nil {
		return nil, err2
	}
	return c, err
}

// Listen listens on an address of TCP inside a network namespace.
func Listen(namespace, address string) (l net.Listener, err error) {
	err2 := within(namespace, func() { l, err = net.Listen("tcp4", address) })
	if err2 != nil {
		return nil, err2
	}
	return l, err
}

// within calls do on a thread that is in a namespace. A socket stays in that in which it was made; names are not
// resolved in do, which would be done by another thread.
func within(namespace string, do func()) error {
	runtime.LockOSThread()
	home, err := netns.Get()
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer home.Close()
	h, err := netns.GetFromName(namespace)
	if err == nil {
		err = netns.Set(h)
		h.Close()
	}
	if err == nil {
		do()
	}
	// A thread that does not come back stays locked, and ends with its goroutine.
	if back := netns.Set(home); back != nil {
		return back
	}
	runtime.UnlockOSThread()
	return err
}
