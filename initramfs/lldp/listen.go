package lldp

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"griddle/appliance/job"
)

// Limits of a Listener.
const (
	maxInterfaces = 64
	maxFrame      = 1500
	socketBuffer  = 64 << 10 // bytes
	pace          = 50 * time.Millisecond
	lookEvery     = 2 * time.Second // for interfaces that appear
)

// groups are the addresses that switches send to (table 7-1): the nearest bridge, the nearest bridge that is not a
// two-port relay, and the nearest customer bridge.
var groups = [][6]byte{{0x01, 0x80, 0xc2, 0, 0, 0x0e}, {0x01, 0x80, 0xc2, 0, 0, 0x03}, {0x01, 0x80, 0xc2}}

// Listener keeps what the switches at the interfaces of this machine said last. Its zero value is usable. Neighbour may
// be called from several goroutines.
type Listener struct {
	mu   sync.Mutex
	said map[string]heard // by the MAC address of the interface
}

// heard is a frame that counts until a time.
type heard struct {
	Frame
	until time.Time
}

// Neighbour is what is connected to the interface with this MAC address; the zero value if that is not known.
func (l *Listener) Neighbour(mac string) job.Neighbour { return l.at(mac, time.Now()) }

func (l *Listener) at(mac string, now time.Time) job.Neighbour {
	l.mu.Lock()
	defer l.mu.Unlock()
	if h, ok := l.said[mac]; ok && now.Before(h.until) {
		return h.Neighbour
	}
	return job.Neighbour{}
}

// hear takes in a frame that came in at an interface. The first sender stays as long as its frames count, so that two
// behind one cable do not take turns; but a switch takes the place of what is not one.
func (l *Listener) hear(mac string, f Frame, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.said == nil {
		l.said = map[string]heard{}
	}
	old, ok := l.said[mac]
	other := ok && now.Before(old.until) && old.chassis != f.chassis
	switch {
	case other && (old.Bridge || !f.Bridge):
	case f.TTL == 0:
		if !other {
			delete(l.said, mac)
		}
	default:
		l.said[mac] = heard{f, now.Add(f.TTL)}
	}
}

// Run listens until ctx ends. It says in the log why it cannot, and then returns.
func (l *Listener) Run(ctx context.Context, log *slog.Logger) {
	if err := l.run(ctx); err != nil && ctx.Err() == nil {
		log.Warn("the switches of this machine are not known", "error", err)
	}
}

func (l *Listener) run(ctx context.Context) error {
	// Without the Ethernet header, and bound to no interface: those that appear later count too (packet(7)).
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, int(networkOrder(unix.ETH_P_LLDP)))
	if err != nil {
		return fmt.Errorf("listening for LLDP: %w", err)
	}
	defer unix.Close(fd)
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, socketBuffer) // the default is larger, not endless
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 1}); err != nil {
		return fmt.Errorf("listening for LLDP: %w", err)
	}
	macs, buf, looked := map[int]string{}, make([]byte, maxFrame), time.Time{}
	for ctx.Err() == nil {
		if time.Since(looked) >= lookEvery {
			join(fd, macs)
			looked = time.Now()
		}
		n, from, err := unix.Recvfrom(fd, buf, 0)
		switch {
		case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR):
			continue
		case err != nil: // an interface went down: the next one may say more
			pause(ctx, time.Second)
			continue
		}
		if at, ok := from.(*unix.SockaddrLinklayer); ok && at.Pkttype != unix.PACKET_OUTGOING {
			if f, err := Parse(buf[:n]); err == nil && macs[at.Ifindex] != "" {
				l.hear(macs[at.Ifindex], f, time.Now())
			}
		}
		pause(ctx, pace)
	}
	return nil
}

// join has each Ethernet interface that is not in macs take frames to the groups, and notes its MAC address.
func join(fd int, macs map[int]string) {
	all, err := net.Interfaces()
	if err != nil {
		return
	}
	for _, i := range all {
		if macs[i.Index] != "" || len(i.HardwareAddr) != 6 || len(macs) == maxInterfaces {
			continue
		}
		for _, g := range groups {
			// A card that takes no such address may still take its frames.
			_ = unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &unix.PacketMreq{
				Ifindex: int32(i.Index), Type: unix.PACKET_MR_MULTICAST, Alen: 6,
				Address: [8]uint8{g[0], g[1], g[2], g[3], g[4], g[5]}})
		}
		macs[i.Index] = i.HardwareAddr.String()
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// networkOrder is n as htons(3) has it, on little-endian and big-endian machines.
func networkOrder(n uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, n))
}
