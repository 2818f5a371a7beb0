package sender

import (
	"context"
	"net"
	"time"

	"golang.org/x/net/ipv4"

	"griddle/imagestore/multicast"
	"griddle/imagestore/multicast/datagram"
)

// maxUnknown is how many reports of unknown receivers are opened in a tick: each costs the derivation of a key, and
// any machine can send them.
const maxUnknown = 300

// listen reads reports until ctx ends.
func (s *Sender) listen(ctx context.Context) {
	messages := make([]ipv4.Message, batch)
	for i := range messages {
		messages[i].Buffers = [][]byte{make([]byte, 2048)}
	}
	var scratch reportBuffer
	for {
		n, err := s.sock.packets.ReadBatch(messages, 0)
		if ctx.Err() != nil {
			return
		}
		if err != nil { // because of an ICMP message, or of an interface that went down
			s.o.Log.Debug("reading reports failed", "err", err)
			select {
			case <-time.After(budgetWait):
			case <-ctx.Done():
				return
			}
			continue
		}
		for i := range n {
			s.handleReport(messages[i].Buffers[0][:messages[i].N], messages[i].Addr, &scratch)
		}
	}
}

// reportBuffer is the memory for reading a report.
type reportBuffer struct {
	payload []byte
	missing []datagram.Missing
}

// handleReport takes in one report. If anything is wrong with it, it is dropped.
func (s *Sender) handleReport(b []byte, from net.Addr, e *reportBuffer) {
	n, err := datagram.Receiver(b)
	if err != nil {
		return
	}
	key, err := s.receiverKey(n)
	if key == nil || err != nil {
		return
	}
	h, payload, err := key.Open(e.payload, b)
	if err != nil || h.Type != datagram.Report {
		return
	}
	e.payload = payload
	if e.missing, err = datagram.ParseMissing(e.missing, payload); err != nil {
		return
	}
	s.mu.Lock()
	s.keys[n] = key
	m := s.receivers.report(n, s.now(), h, e.missing, s.seq, s.schedule)
	var verdict []byte
	if m != nil && m.demoted != "" && h.Flags&(datagram.Leaving|datagram.Done) == 0 {
		m.verdictSeq++
		st := s.announcement()
		st.State = datagram.Demoted
		verdict = key.Seal(nil, datagram.Header{Type: datagram.Verdict, Seq: m.verdictSeq, ESI: n,
			Pos: s.schedule.closed(), Time: uint32(s.now().Milliseconds())}, st.Append(nil))
	}
	s.mu.Unlock()
	if verdict != nil {
		if _, err := s.sock.conn.WriteTo(verdict, from); err != nil {
			s.o.Log.Debug("sending a verdict failed", "receiver", n, "err", err)
		}
	}
	s.wakeRun()
}

// receiverKey is the key of receiver n, or nil if too many unknown receivers report.
func (s *Sender) receiverKey(n uint16) (*datagram.Key, error) {
	s.mu.Lock()
	key := s.keys[n]
	s.unknown++
	late := s.unknown > maxUnknown
	if key != nil {
		s.unknown--
		late = false
	}
	s.mu.Unlock()
	if key != nil || late {
		return key, nil
	}
	k, err := multicast.ReceiverKey(s.o.Secret, s.o.ID, n)
	if err != nil {
		return nil, err
	}
	return datagram.NewKey(k, uint64(s.o.ID))
}
