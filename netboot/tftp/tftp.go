// Package tftp serves a fixed set of files to firmware, read-only (RFC 1350, with the options blksize and tsize of RFC
// 2348 and 2349).
//
// Build a [Server] and call [Server.Serve] on the socket of [Listen]. A file is found by its exact name: there are no directories, no
// paths to leave and no write requests; one leading slash is ignored, because some firmware adds it.
//
// Limits: at most MaxSessions transfers at once, at most MaxPerClient to one address; further ones get an error packet and
// firmware asks again. Malformed packets are dropped and counted.
//
// The windowsize option of RFC 7440 is not answered, so each block waits for its acknowledgement.
package tftp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pin/tftp/v3"
	"golang.org/x/net/ipv4"
)

const (
	// maxBlock fits an Ethernet frame of 1500 bytes: 20 IP, 8 UDP, 4 TFTP.
	maxBlock = 1468
	// A lost packet is sent again after timeout, retries times, before the transfer is given up.
	timeout = 2 * time.Second
	retries = 5
)

// Files opens a file by its name; an error means that there is none.
type Files interface {
	Open(name string) (*bytes.Reader, error)
}

// Server serves Files.
type Server struct {
	Files Files
	Log   *slog.Logger
	// MaxSessions and MaxPerClient bound the transfers at one time; zero means 256 and 8.
	MaxSessions, MaxPerClient int
	// Observe is told of each file that a machine got completely. It may be nil.
	Observe func(client net.IP, name string)
	// Counters may be read at any time.
	Counters Counters

	mu       sync.Mutex
	sessions int
	clients  map[string]int
}

// Counters count since the start.
type Counters struct {
	// Sent are complete transfers, Bytes their bytes; Aborted those that the client ended, as firmware does that only
	// asks for the size; Failed all others that began. Refused had no slot, NotFound no file.
	Sent, Bytes, Aborted, Failed, Refused, NotFound atomic.Uint64
	// Malformed are the packets that are no request to read or write.
	Malformed atomic.Uint64
}

var (
	errBusy    = errors.New("too many transfers, ask again")
	errMissing = errors.New("file not found")
)

// Listen opens the socket for Serve. The kernel notes each packet's interface from the start, because the library gives
// packets without that note blocks of 512 bytes.
func Listen(addr netip.AddrPort) (*net.UDPConn, error) {
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(addr))
	if err != nil {
		return nil, err
	}
	if err := ipv4.NewPacketConn(conn).SetControlMessage(ipv4.FlagDst|ipv4.FlagInterface, true); err != nil {
		conn.Close()
		return nil, fmt.Errorf("asking for the interface of packets: %w", err)
	}
	return conn, nil
}

// Serve answers requests at conn until ctx ends, and closes it. Transfers that run then have sockets of their own and go
// on until they are done or their client is silent for some seconds.
func (s *Server) Serve(ctx context.Context, conn *net.UDPConn) error {
	if s.MaxSessions == 0 {
		s.MaxSessions = 256
	}
	if s.MaxPerClient == 0 {
		s.MaxPerClient = 8
	}
	s.clients = map[string]int{}
	srv := tftp.NewServer(s.read, nil)
	srv.SetBlockSize(maxBlock)
	srv.SetTimeout(timeout)
	srv.SetRetries(retries)
	srv.SetHook(hook{s})
	stop := context.AfterFunc(ctx, srv.Shutdown)
	defer stop()
	if err := srv.Serve(conn); err != nil {
		return fmt.Errorf("serving TFTP: %w", err)
	}
	return nil
}

// read is one transfer; what it returns goes to the client as an error packet.
func (s *Server) read(name string, to io.ReaderFrom) error {
	client := to.(tftp.OutgoingTransfer).RemoteAddr().IP
	log := s.Log.With("client", client, "file", name)
	f, err := s.Files.Open(strings.TrimPrefix(name, "/"))
	if err != nil {
		s.Counters.NotFound.Add(1)
		log.Info("no such TFTP file")
		return errMissing
	}
	if !s.enter(client.String()) {
		s.Counters.Refused.Add(1)
		log.Warn("too many TFTP transfers", "limit", s.MaxSessions, "per client", s.MaxPerClient)
		return errBusy
	}
	began := time.Now()
	n, err := to.ReadFrom(f)
	s.leave(client.String())
	switch {
	case err == nil:
		s.Counters.Sent.Add(1)
		s.Counters.Bytes.Add(uint64(n))
		log.Info("sent by TFTP", "bytes", n, "seconds", time.Since(began).Seconds())
		if s.Observe != nil {
			s.Observe(client, name)
		}
	case aborted(err):
		s.Counters.Aborted.Add(1)
		log.Debug("TFTP transfer ended by the client", "err", err)
	default:
		s.Counters.Failed.Add(1)
		log.Warn("TFTP transfer failed", "sent", n, "err", err)
	}
	return nil
}

// aborted recognises error 8 of RFC 2347 and error 0: EDK2 and PXE ROMs ask for the size, abort, and ask for the file.
func aborted(err error) bool {
	return strings.Contains(err.Error(), "code=8,") || strings.Contains(err.Error(), "code=0,")
}

func (s *Server) enter(client string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sessions >= s.MaxSessions || s.clients[client] >= s.MaxPerClient {
		return false
	}
	s.sessions++
	s.clients[client]++
	return true
}

func (s *Server) leave(client string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions--
	if s.clients[client]--; s.clients[client] == 0 {
		delete(s.clients, client)
	}
}

// hook hears of packets that the library could not use: those come without a remote address.
type hook struct{ s *Server }

func (h hook) OnSuccess(tftp.TransferStats) {}

func (h hook) OnFailure(st tftp.TransferStats, err error) {
	if st.RemoteAddr == nil {
		h.s.Counters.Malformed.Add(1)
		h.s.Log.Debug("dropped TFTP packet", "err", err)
	}
}
