package receiver

// seqWindow is how far back a repeated datagram is recognised.
const seqWindow = 1 << 14

// sequence counts the datagrams of a group by their seq, each of them once.
type sequence struct {
	first, last uint32
	received    uint32
	seen        [seqWindow / 64]uint64 // a bit for each seq of the window, by seq modulo its length
}

// add counts a datagram, and says whether it is heard for the first time. One from before the window is not counted.
func (q *sequence) add(seq uint32) bool {
	switch {
	case seq == 0:
		return false
	case q.last == 0:
		q.first, q.last = seq, seq
	case seq > q.last:
		if seq-q.last >= seqWindow {
			clear(q.seen[:])
		} else {
			for s := q.last + 1; s != seq+1; s++ {
				q.seen[s%seqWindow/64] &^= 1 << (s % 64)
			}
		}
		q.last = seq
	case q.last-seq >= seqWindow, q.seen[seq%seqWindow/64]>>(seq%64)&1 != 0:
		return false
	}
	q.first = min(q.first, seq)
	q.seen[seq%seqWindow/64] |= 1 << (seq % 64)
	q.received++
	return true
}

// lost is how many datagrams did not come.
func (q *sequence) lost() uint32 { return q.last - q.first + 1 - q.received }

// loss is the share of datagrams that did not come, 0 to 1.
func (q *sequence) loss() float64 {
	return max(0, 1-float64(q.received)/float64(q.last-q.first+1))
}
