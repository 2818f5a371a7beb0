package testbed

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

func dieWithParent(c *exec.Cmd) { c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }

// carry puts this program between the switch and the host where w asks for it: the host's port leaves the bridge, and
// a pair of links takes its place, between whose end and the port every frame is carried by hand.
func (h *Host) carry(ctx context.Context, w Wire) error {
	sw := h.bed.prefix + "-switch"
	inner, outer := h.Name+"i", h.Name+"o"
	_ = run(ctx, "ip", "-n", sw, "link", "del", inner) // what carried before ends with its link
	if !w.carried() {
		return run(ctx, "ip", "-n", sw, "link", "set", h.Name, "master", "br0", "up")
	}
	for _, args := range [][]string{
		// A frame that is taken off a link by hand must have its checksums.
		{"ip", "netns", "exec", h.namespace(), "ethtool", "-K", "eth0", "tx", "off"},
		{"ip", "netns", "exec", h.bed.Sender.namespace(), "ethtool", "-K", "eth0", "tx", "off"},
		{"ip", "-n", sw, "link", "set", h.Name, "nomaster", "promisc", "on"},
		{"ip", "-n", sw, "link", "add", outer, "type", "veth", "peer", "name", inner},
		{"ip", "netns", "exec", sw, "ethtool", "-K", inner, "tso", "off", "gso", "off", "gro", "off"},
		{"ip", "netns", "exec", sw, "ethtool", "-K", outer, "tso", "off", "gso", "off", "gro", "off"},
		{"ip", "-n", sw, "link", "set", outer, "master", "br0", "up"},
		{"ip", "-n", sw, "link", "set", inner, "promisc", "on", "up"},
	} {
		if err := run(ctx, args[0], args[1:]...); err != nil {
			return err
		}
	}
	var in, port int
	at := &Host{Name: "switch", bed: h.bed}
	if err := at.Do(func() (err error) {
		if in, err = packetSocket(inner); err == nil {
			port, err = packetSocket(h.Name)
		}
		return err
	}); err != nil {
		return err
	}
	c := &carrier{w: w, in: in, port: port}
	c.wake = sync.NewCond(&c.mu)
	c.users.Go(c.collect)
	c.users.Go(c.deliver)
	c.users.Go(c.back)
	go c.close()
	return nil
}

// packetSocket reads and writes the frames of an interface.
func packetSocket(name string) (int, error) {
	ifi, err := net.InterfaceByName(name)
	if err != nil {
		return -1, err
	}
	proto := uint16(unix.ETH_P_ALL)<<8 | uint16(unix.ETH_P_ALL)>>8
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(proto))
	if err != nil {
		return -1, fmt.Errorf("carrying frames of %s: %w", name, err)
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: proto, Ifindex: ifi.Index}); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("carrying frames of %s: %w", name, err)
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20)
	// A reader looks ten times a second whether the other side is gone.
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 100_000}); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("carrying frames of %s: %w", name, err)
	}
	return fd, nil
}

// carrier carries the frames between a receiver's port and the switch, and delays those to the receiver. It ends when
// one of the two links is gone.
type carrier struct {
	w        Wire
	in, port int            // sockets of the switch's side, and of the receiver's port
	users    sync.WaitGroup // goroutines that use the sockets

	mu    sync.Mutex
	wake  *sync.Cond
	queue frames
	ended bool
}

// close closes the sockets after the last use of them: another file may get their numbers at once.
func (c *carrier) close() {
	c.users.Wait()
	unix.Close(c.in)
	unix.Close(c.port)
}

// end ends the carrier.
func (c *carrier) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	c.wake.Signal()
}

func (c *carrier) over() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ended
}

// read reads the next frame that came in on fd, and fails when the carrier ends. Frames that this program wrote there
// come back as outgoing, and are skipped.
func (c *carrier) read(fd int, buf []byte) ([]byte, error) {
	for {
		if c.over() {
			return nil, net.ErrClosed
		}
		n, from, err := unix.Recvfrom(fd, buf, 0)
		if errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if sll, ok := from.(*unix.SockaddrLinklayer); ok && sll.Pkttype == unix.PACKET_OUTGOING {
			continue
		}
		return buf[:n], nil
	}
}

type frame struct {
	due  time.Time
	data []byte
}

type frames []frame

func (f frames) Len() int           { return len(f) }
func (f frames) Less(i, j int) bool { return f[i].due.Before(f[j].due) }
func (f frames) Swap(i, j int)      { f[i], f[j] = f[j], f[i] }
func (f *frames) Push(x any)        { *f = append(*f, x.(frame)) }
func (f *frames) Pop() any {
	old := *f
	x := old[len(old)-1]
	*f = old[:len(old)-1]
	return x
}

// collect reads frames for the receiver.
func (c *carrier) collect() {
	defer c.end()
	buf := make([]byte, 65536)
	for {
		b, err := c.read(c.in, buf)
		if err != nil {
			return
		}
		c.mu.Lock()
		for range 1 + chance(c.w.Duplicate) {
			due := time.Now().Add(c.w.Delay)
			if c.w.Jitter > 0 {
				due = due.Add(rand.N(c.w.Jitter))
			}
			heap.Push(&c.queue, frame{due, append([]byte(nil), b...)})
		}
		c.wake.Signal()
		c.mu.Unlock()
	}
}

func chance(p float64) int {
	if rand.Float64() < p {
		return 1
	}
	return 0
}

// deliver writes the frames to the receiver when they are due.
func (c *carrier) deliver() {
	for {
		c.mu.Lock()
		for len(c.queue) == 0 && !c.ended {
			c.wake.Wait()
		}
		if len(c.queue) == 0 {
			c.mu.Unlock()
			return
		}
		wait := time.Until(c.queue[0].due)
		var b []byte
		if wait <= 0 {
			b = heap.Pop(&c.queue).(frame).data
		}
		c.mu.Unlock()
		if b == nil {
			time.Sleep(min(wait, time.Millisecond))
			continue
		}
		_, _ = unix.Write(c.port, b) // a port that is full drops, as ports do
	}
}

// back carries frames from the receiver to the switch, without a delay.
func (c *carrier) back() {
	defer c.end()
	buf := make([]byte, 65536)
	for {
		b, err := c.read(c.port, buf)
		if err != nil {
			return
		}
		_, _ = unix.Write(c.in, b)
	}
}
