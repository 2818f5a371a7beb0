package sender

import (
	"context"
	"net"
	"time"

	"golang.org/x/net/ipv4"

	"griddle/imagestore/multicast"
	"griddle/imagestore/multicast/datagram"
)

// maxStrange is how many reports of receivers that were never heard are looked at in a tick: each costs a key, and anybody can
// send them.
const maxStrange = 300

// listen takes reports until ctx ends.
func (s *Sender) listen(ctx context.Context) {
	messages := make([]ipv4.Message, batch)
	for i := range messages {
		messages[i].Buffers = [][]byte{make([]byte, 2048)}
	}
	var scratch ear
	for {
		n, err := s.sock.packets.ReadBatch(messages, 0)
		if ctx.Err() != nil {
			return
		}
		if err != nil { // of an ICMP message, or of an interface that went down
			s.o.Log.Debug("reading reports", "err", err)
			select {
			case <-time.After(patience):
			case <-ctx.Done():
				return
			}
			continue
		}
		for i := range n {
			s.hear(messages[i].Buffers[0][:messages[i].N], messages[i].Addr, &scratch)
		}
	}
}

// ear is what taking a report needs of memory.
type ear struct {
	payload []byte
	missing []datagram.Missing
}

// hear takes one report. Whatever is wrong with it, it is as if it had not come.
func (s *Sender) hear(b []byte, from net.Addr, e *ear) {
	n, err := datagram.Receiver(b)
	if err != nil {
		return
	}
	key, err := s.key(n)
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
	m := s.crowd.report(n, s.now(), h, e.missing, s.seq, s.plan)
	var verdict []byte
	if m != nil && m.demoted != "" && h.Flags&(datagram.Leaving|datagram.Done) == 0 {
		m.told++
		st := s.words()
		st.State = datagram.Demoted
		verdict = key.Seal(nil, datagram.Header{Type: datagram.Verdict, Seq: m.told, ESI: n, Pos: s.plan.closed(), Time: uint32(s.now().Milliseconds())}, st.Append(nil))
	}
	s.mu.Unlock()
	if verdict != nil {
		if _, err := s.sock.conn.WriteTo(verdict, from); err != nil {
			s.o.Log.Debug("a verdict was not sent", "receiver", n, "err", err)
		}
	}
	s.rouse()
}

// key is the key of receiver n, or nil when too many are unknown.
func (s *Sender) key(n uint16) (*datagram.Key, error) {
	s.mu.Lock()
	key := s.keys[n]
	s.strange++
	late := s.strange > maxStrange
	if key != nil {
		s.strange--
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
