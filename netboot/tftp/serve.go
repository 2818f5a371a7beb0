package tftp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"
)

const (
	// A packet that is not answered is sent again after firstWait, then after twice that, up to longestWait; a client
	// that asked for a timeout gets that one. After retries the client is taken for gone.
	firstWait   = time.Second
	longestWait = 4 * time.Second
	retries     = 5
	// longest ends a transfer whose client acknowledges block after block, and never comes to an end.
	longest = 30 * time.Minute
	// ackBuffer is enough for what a client may send in one window, in bytes: an attacker's packets fill no more.
	ackBuffer = 4 << 10
)

var errSilent = errors.New("the client does not answer")

// clientError is an error packet of the client.
type clientError struct {
	code    uint16
	message string
}

// Error gives code and message.
func (e *clientError) Error() string {
	return fmt.Sprintf("the client sent error %d: %.100q", e.code, e.message)
}

// aborted recognises error 8 of RFC 2347 and error 0: EDK2 and PXE ROMs ask for the size, abort, and ask for the file.
func (e *clientError) aborted() bool { return e.code == 8 || e.code == 0 }

// transfer sends t to the client of p and reports how it ended.
func (s *Server) transfer(log *slog.Logger, conn *net.UDPConn, p *place, t *transfer) {
	began := time.Now()
	err := s.send(conn, p, t)
	var ended *clientError
	switch {
	case err == nil:
		s.Counters.Sent.Add(1)
		s.Counters.Bytes.Add(uint64(t.data.Size()))
		log.Info("sent by TFTP", "bytes", t.data.Size(), "seconds", time.Since(began).Seconds())
		if s.Observe != nil {
			s.Observe(p.client.Addr().AsSlice(), p.request.name)
		}
	case errors.As(err, &ended) && ended.aborted():
		s.Counters.Aborted.Add(1)
		log.Debug("TFTP transfer ended by the client", "err", err)
	case errors.Is(err, net.ErrClosed): // end counted it
		log.Debug("TFTP transfer was replaced by another", "acknowledged", t.acked)
	default:
		s.Counters.Failed.Add(1)
		s.noted.Do(func() { log.Warn("TFTP transfer failed", "acknowledged", t.acked, "blocks", t.last, "err", err) })
	}
}

func (s *Server) send(conn *net.UDPConn, p *place, t *transfer) error {
	if err := conn.SetReadBuffer(ackBuffer); err != nil {
		return fmt.Errorf("setting the size of the socket's buffer: %w", err)
	}
	write := func(packet []byte) error {
		// ECONNREFUSED is what the network says of an earlier packet; a client that is gone is silent.
		if _, err := conn.Write(packet); errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	}
	end := time.Now().Add(longest)
	for try, wait := 0, firstWait; !t.done(); {
		if err := t.packets(write); err != nil {
			return err
		}
		if p.request.timeout > 0 {
			wait = p.request.timeout
		}
		progress, err := s.listen(conn, p, t, time.Now().Add(wait))
		switch {
		case err != nil:
			return err
		case time.Now().After(end):
			return fmt.Errorf("the transfer did not end within %v", longest)
		case progress:
			try, wait = 0, firstWait
		case try == retries:
			return errSilent
		default:
			try, wait = try+1, min(2*wait, longestWait)
		}
	}
	return nil
}

// listen waits until there is something to send: progress says that the client asked for it, else deadline passed.
func (s *Server) listen(conn *net.UDPConn, p *place, t *transfer, deadline time.Time) (progress bool, err error) {
	if err := conn.SetReadDeadline(deadline); err != nil {
		return false, err
	}
	var buf [516]byte
	for {
		n, err := conn.Read(buf[:])
		var timeout net.Error
		switch {
		case errors.Is(err, net.ErrClosed):
			return false, err
		case errors.As(err, &timeout) && timeout.Timeout():
			return false, nil
		case err != nil || n < 4 || buf[0] != 0:
			continue
		}
		number := binary.BigEndian.Uint16(buf[2:])
		switch buf[1] {
		case opError:
			return false, &clientError{number, strings.TrimRight(string(buf[4:n]), "\x00")}
		case opAck:
			if t.acknowledge(number) {
				s.table.answer(p, time.Now())
				return true, nil
			}
		}
	}
}
