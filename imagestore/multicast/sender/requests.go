package sender

import "slices"

// request is what receivers lack of a block.
type request struct {
	urgent       int       // symbols to send before anything else
	urgentOthers int       // what urgent would be without the receiver that lacks most,
	urgentBy     *receiver // which is this one
	deferred     int       // symbols to send when nothing is new
	deferredBy   *receiver // the receiver that lacks as many
	runs         []run     // what was sent of it lately, oldest first
}

// run is n consecutive datagrams of one block, from seq on.
type run struct{ seq, n uint32 }

// maxRuns bounds the runs of a block. Symbols of forgotten runs count as lost in older reports.
const maxRuns = 64

func (s *schedule) request(block uint32) *request {
	w := s.requests[block]
	if w == nil {
		w = &request{}
		s.requests[block] = w
	}
	return w
}

func (s *schedule) noteSent(block, seq uint32) {
	w := s.request(block)
	if n := len(w.runs); n > 0 && w.runs[n-1].seq+w.runs[n-1].n == seq {
		w.runs[n-1].n++
		return
	}
	if len(w.runs) == maxRuns {
		w.runs = slices.Delete(w.runs, 0, 1)
	}
	w.runs = append(w.runs, run{seq, 1})
}

// underWay is how many symbols of a block were sent after the seq hi, or will be sent anyway.
func (s *schedule) underWay(block, hi uint32) int {
	n := 0
	if w := s.requests[block]; w != nil {
		for i := len(w.runs) - 1; i >= 0 && w.runs[i].seq+w.runs[i].n-1 > hi; i-- {
			r := w.runs[i]
			n += int(r.seq + r.n - max(r.seq, hi+1))
		}
	}
	if s.repeating && s.repeat.block == block {
		n += s.repeat.k - s.repeat.esi + max(s.repeat.parity, 0)
	}
	return n
}

// ask notes that m, which has seen datagrams up to the seq hi, needs n symbols of a block that was sent once. With
// hurry they are sent before anything new. It says whether there is parity for it.
func (s *schedule) ask(m *receiver, block, hi uint32, n int, hurry bool) bool {
	if block >= s.closed() {
		return false
	}
	left := s.parityLeft(block)
	lacking := min(n-s.underWay(block, hi), left)
	if lacking <= 0 {
		return left > 0
	}
	w := s.request(block)
	switch {
	case !hurry:
		if lacking > w.deferred {
			w.deferred, w.deferredBy = lacking, m
		}
	case m == w.urgentBy || lacking > w.urgent:
		if m != w.urgentBy {
			w.urgentOthers, w.urgentBy = w.urgent, m
		}
		w.urgent = max(w.urgent, lacking)
	default:
		w.urgentOthers = max(w.urgentOthers, lacking)
	}
	s.index(block, w)
	return true
}

// forget cancels what only m asked for.
func (s *schedule) forget(m *receiver) {
	for block, w := range s.requests {
		if w.urgentBy == m {
			w.urgent, w.urgentBy = w.urgentOthers, nil
		}
		if w.deferredBy == m {
			w.deferred, w.deferredBy = 0, nil
		}
		s.index(block, w)
	}
}

// sweep forgets blocks that no receiver asks for and of which nothing was sent since the datagram seq.
func (s *schedule) sweep(seq uint32) {
	for block, w := range s.requests {
		if n := len(w.runs); w.urgent == 0 && w.deferred == 0 && (n == 0 || w.runs[n-1].seq+w.runs[n-1].n <= seq) {
			delete(s.requests, block)
		}
	}
}

// index keeps the lists urgent and deferred up to date for a block.
func (s *schedule) index(block uint32, w *request) {
	s.urgent = setMember(s.urgent, block, w.urgent > 0)
	s.deferred = setMember(s.deferred, block, w.deferred > 0)
}

func setMember(list []uint32, block uint32, in bool) []uint32 {
	i, found := slices.BinarySearch(list, block)
	switch {
	case in && !found:
		return slices.Insert(list, i, block)
	case !in && found:
		return slices.Delete(list, i, i+1)
	}
	return list
}
