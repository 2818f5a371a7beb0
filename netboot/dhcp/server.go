package dhcp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/ipv4"
)

// maxWaiting is how many requests may wait for the disk at once; the kernel's socket buffer holds the next ones.
const maxWaiting = 256

// Server answers the requests that arrive at its sockets.
type Server struct {
	// Config is the configuration at the start of Serve; Replace changes it later.
	Config Config
	// Leases is nil for a proxy.
	Leases Leaser
	Log    *slog.Logger
	// Observe is called with every well-formed request and its answer before the reply is sent, and again with a
	// refusal if the reply cannot be sent. It may be nil, and is called from several goroutines.
	Observe func(*Request, Answer)
	// Counters may be read at any time.
	Counters Counters

	newer atomic.Pointer[Config]
}

// Replace makes the server use c from the next request on. It may be called at any time.
func (s *Server) Replace(c Config) { s.newer.Store(&c) }

func (s *Server) config() *Config {
	if c := s.newer.Load(); c != nil {
		return c
	}
	return &s.Config
}

// Counters count datagrams from the start of the server.
type Counters struct {
	Received, Malformed, Ignored, Answered, SendFailed atomic.Uint64
	// Dropped are those that the kernel dropped because its buffer was full.
	Dropped atomic.Uint64
}

// Serve answers requests at conn until ctx ends, and closes conn. port is the port that clients send to: 67 or 4011.
func (s *Server) Serve(ctx context.Context, conn *net.UDPConn, port int) error {
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	defer conn.Close()
	out := ipv4.NewPacketConn(conn)
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := make(chan struct{}, maxWaiting)
	buf, control := make([]byte, 65536), make([]byte, 256)
	lost := loss{log: s.Log, count: &s.Counters.Dropped}
	for {
		n, controls, _, from, err := conn.ReadMsgUDPAddrPort(buf, control)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			if errors.Is(err, net.ErrClosed) {
				return fmt.Errorf("reading DHCP requests: %w", err)
			}
			// An ICMP error of an earlier reply or a full buffer; the next datagram is not affected.
			s.Log.Debug("reading DHCP requests", "err", err)
			continue
		}
		s.Counters.Received.Add(1)
		if all, ok := dropped(control[:controls]); ok {
			lost.seen(all, time.Now())
		}
		r, err := Parse(buf[:n])
		if err != nil {
			s.Counters.Malformed.Add(1)
			s.Log.Debug("dropped", "from", from, "err", err)
			continue
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			s.answer(out, r, port, netip.AddrPortFrom(from.Addr().Unmap(), from.Port()))
		})
	}
}

// loss follows how many packets the kernel dropped on one socket.
type loss struct {
	log   *slog.Logger
	count *atomic.Uint64
	all   uint32 // so far; it may wrap
	told  uint32 // of those, what the log has
	said  time.Time
}

// seen takes the kernel's count, and says once a minute at most that it grew.
func (l *loss) seen(all uint32, now time.Time) {
	l.count.Add(uint64(all - l.all))
	l.all = all
	if all == l.told || !l.said.IsZero() && now.Sub(l.said) < time.Minute {
		return
	}
	l.log.Warn("DHCP requests were lost: too many arrived at once; the machines ask again", "requests", all-l.told)
	l.told, l.said = all, now
}

func (s *Server) answer(out *ipv4.PacketConn, r *Request, port int, from netip.AddrPort) {
	var a Answer
	conf := s.config()
	if s.Leases == nil {
		a = conf.Proxy(r, port, from)
	} else {
		a = conf.Full(r, s.Leases, port, from)
	}
	mac := net.HardwareAddr(r.MAC[:])
	if s.Observe != nil {
		s.Observe(r, a)
	}
	if a.Reply == nil {
		s.Counters.Ignored.Add(1)
		s.Log.Debug("no answer", "mac", mac.String(), "type", r.Type, "arch", r.Arch, "reason", a.Reason)
		return
	}
	// The source is said, because the interface may have more addresses than the one that we tell the machines.
	cm := &ipv4.ControlMessage{Src: conf.ServerIP.AsSlice()}
	if _, err := out.WriteTo(a.Reply.ToBytes(), cm, net.UDPAddrFromAddrPort(a.To)); err != nil {
		s.Counters.SendFailed.Add(1)
		s.Log.Debug("sending a DHCP reply", "mac", mac.String(), "to", a.To, "err", err)
		if s.Observe != nil {
			s.Observe(r, refuse("sending the reply to %s: %v", a.To, err))
		}
		return
	}
	s.Counters.Answered.Add(1)
	level := slog.LevelDebug
	if r.BootClient() || !a.Reply.YourIPAddr.IsUnspecified() {
		level = slog.LevelInfo
	}
	s.Log.Log(context.Background(), level, "answered", "mac", mac.String(), "type", r.Type, "arch", r.Arch,
		"reply", a.Reply.MessageType(), "reason", a.Reason, "boot", a.Boot)
}
