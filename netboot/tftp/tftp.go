// Package tftp serves a fixed set of files to firmware, read-only (RFC 1350; options: RFC 2347, blksize of RFC 2348,
// tsize and timeout of RFC 2349, windowsize of RFC 7440).
//
// Make a [Server] and call [Server.Serve] on the socket of [Listen]. The name of a file is only a name: there are no
// write requests and no directories. Firmware writes a name in several ways, and all mean the same file: /name, //name,
// ./name and \name. The files are programs, so the only mode is octet.
//
// Limits: at most MaxTransfers transfers at once, each with a socket, a goroutine and a few kilobytes. If the limit is
// reached, a new transfer replaces the oldest one whose client never answered, or one from an address that has many
// more than others. If there is no such transfer, the request is dropped without an answer: the firmware then asks
// again, while an error packet would end its boot. A client that answers is never dropped because of transfers that
// others abandoned.
//
// The protocol itself is pure: parseRequest and transfer turn packets into packets, and table decides which transfer
// runs.
package tftp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

const (
	// maxBlock fits an Ethernet frame of 1500 bytes: 20 IP, 8 UDP, 4 TFTP.
	maxBlock = 1468
	// overhead is what a frame holds besides a block.
	overhead = 32
	// maxTransfers is the number of places if the server does not say another.
	maxTransfers = 4096
	// requestBuffer holds the requests of a whole room that is switched on at one moment, in bytes.
	requestBuffer = 1 << 20
)

// Files opens a file by its name. An error means that the file does not exist.
type Files interface {
	Open(name string) (*bytes.Reader, error)
}

// Server serves Files.
type Server struct {
	Files Files
	Log   *slog.Logger
	// MaxTransfers bounds the transfers at one time; zero means 4096.
	MaxTransfers int
	// Observe is called for each file that a machine received completely. It may be nil.
	Observe func(client net.IP, name string)
	// Counters may be read at any time.
	Counters Counters

	table    *table
	maxBlock int
	noted    rate.Sometimes // bounds the lines that strangers can cause
}

// Counters are counted from the start of the server.
type Counters struct {
	// Sent are complete transfers, and Bytes their bytes. Aborted transfers were ended by the client, for example by
	// firmware that only asks for the size. Failed are all other transfers that started. Refused requests found no free
	// place or lost it to another. NotFound requests named a file that does not exist.
	Sent, Bytes, Aborted, Failed, Refused, NotFound atomic.Uint64
	// Malformed are packets that are not a request to read or write.
	Malformed atomic.Uint64
}

// Listen opens the socket for Serve.
func Listen(addr netip.AddrPort) (*net.UDPConn, error) {
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(addr))
	if err != nil {
		return nil, err
	}
	if err := conn.SetReadBuffer(requestBuffer); err != nil {
		conn.Close()
		return nil, fmt.Errorf("making room for requests: %w", err)
	}
	return conn, nil
}

// Serve answers requests at conn until ctx ends, closes it, and ends the transfers that run.
func (s *Server) Serve(ctx context.Context, conn *net.UDPConn) error {
	if s.MaxTransfers == 0 {
		s.MaxTransfers = maxTransfers
	}
	s.table, s.maxBlock = newTable(s.MaxTransfers), blockOf(conn)
	s.noted = rate.Sometimes{First: 10, Interval: time.Second}
	var transfers sync.WaitGroup
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer func() {
		stop()
		conn.Close()
		s.table.endAll()
		transfers.Wait()
	}()
	buf := make([]byte, maxRequest)
	for {
		n, client, err := conn.ReadFromUDPAddrPort(buf)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("serving TFTP: %w", err)
		case err != nil:
			continue // what the network says of a reply that was sent
		}
		client = netip.AddrPortFrom(client.Addr().Unmap(), client.Port())
		if run := s.take(conn, client, buf[:n]); run != nil {
			transfers.Go(run)
		}
	}
}

// blockOf is the largest block that the interface of conn's address sends in one frame.
func blockOf(conn *net.UDPConn) int {
	mine := conn.LocalAddr().(*net.UDPAddr).IP
	all, err := net.Interfaces()
	if err != nil {
		return defaultBlock
	}
	for _, ifi := range all {
		addrs, _ := ifi.Addrs() // an interface that just went has none
		for _, a := range addrs {
			if p, ok := a.(*net.IPNet); ok && p.IP.Equal(mine) {
				return max(defaultBlock, min(maxBlock, ifi.MTU-overhead))
			}
		}
	}
	return maxBlock
}

// take answers one request: by an error, by nothing, or by the transfer that it returns.
func (s *Server) take(conn *net.UDPConn, client netip.AddrPort, packet []byte) func() {
	r, err := parseRequest(packet)
	if err != nil {
		s.Counters.Malformed.Add(1)
		s.Log.Debug("dropped TFTP packet", "client", client, "err", err)
		return nil
	}
	log := s.Log.With("client", client, "file", r.name)
	if r.write {
		s.refuse(conn, client, 2, "this server does not accept write requests")
		return nil
	}
	data, err := s.open(r)
	if err != nil {
		s.Counters.NotFound.Add(1)
		s.noted.Do(func() { log.Info("refused a TFTP request", "err", err) })
		s.refuse(conn, client, 1, err.Error())
		return nil
	}
	// The socket is this client's: the kernel drops what others send to it, and RFC 1350's transfer identifier is its
	// port.
	from := net.UDPAddrFromAddrPort(netip.AddrPortFrom(conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr(), 0))
	var own *net.UDPConn
	end := func() {
		s.Counters.Refused.Add(1)
		own.Close()
	}
	p, err := s.enter(client, r, end, func() (err error) {
		if own, err = net.DialUDP("udp4", from, net.UDPAddrFromAddrPort(client)); err != nil {
			s.Counters.Refused.Add(1)
		}
		return err
	})
	switch {
	case err != nil:
		s.noted.Do(func() {
			log.Warn("too many TFTP transfers; the machine asks again", "limit", s.MaxTransfers, "err", err)
		})
		return nil
	case p == nil:
		return nil
	}
	return func() {
		defer own.Close()
		defer s.table.leave(p)
		s.transfer(log, own, p, newTransfer(data, r, s.maxBlock))
	}
}

var errFull = errors.New("all transfers are of machines that answer")

// enter opens the transfer's socket before it can be seen in the table, where others may end it.
func (s *Server) enter(client netip.AddrPort, r request, end func(), open func() error) (*place, error) {
	if s.table.repeated(client, r) {
		return nil, nil
	}
	if err := open(); err != nil {
		return nil, err
	}
	p := s.table.enter(client, r, time.Now(), end)
	if p == nil {
		end()
		return nil, errFull
	}
	return p, nil
}

func (s *Server) open(r request) (*bytes.Reader, error) {
	if r.mode != "octet" {
		return nil, errors.New("the server supports only the mode octet (binary)")
	}
	data, err := s.Files.Open(r.name)
	if err != nil {
		return nil, errors.New("file not found")
	}
	return data, nil
}

// refuse sends an error packet (RFC 1350 section 5) from the server's own port, which costs no place.
func (s *Server) refuse(conn *net.UDPConn, client netip.AddrPort, code byte, message string) {
	packet := append([]byte{0, opError, 0, code}, message...)
	if _, err := conn.WriteToUDPAddrPort(append(packet, 0), client); err != nil {
		s.Log.Debug("sending a TFTP error", "client", client, "err", err)
	}
}
