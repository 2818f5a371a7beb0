package tftp

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"strconv"
	"time"
)

// transfer is the sender's side of one read request, without sockets and clocks: what to send, and what an
// acknowledgement changes. Blocks are counted from 1 without end; the wire has the lower 16 bits of the number, so that
// files of more than 65,535 blocks wrap to block 0, as clients expect.
type transfer struct {
	data    *bytes.Reader
	options []byte // the OACK packet; nil if no option was accepted
	block   int    // bytes in a block
	window  int64  // blocks before an acknowledgement
	last    int64  // the number of the last block, which is shorter than the others, or empty
	acked   int64  // the highest block that the client has; -1 while the OACK is not acknowledged
	again   bool   // what follows acked was sent again since acked grew
}

// The bounds of what a client may ask for.
const (
	defaultBlock = 512
	maxWindow    = 64
)

// newTransfer answers r with data. maxBlock is what fits into a frame, in bytes.
func newTransfer(data *bytes.Reader, r request, maxBlock int) *transfer {
	t := &transfer{data: data, block: defaultBlock, window: 1}
	oack := []byte{0, opOAck}
	accept := func(option string, value int64) {
		oack = append(oack, option+"\x00"+strconv.FormatInt(value, 10)+"\x00"...)
	}
	if r.block > 0 {
		t.block = min(r.block, maxBlock)
		accept("blksize", int64(t.block))
	}
	if r.timeout > 0 {
		accept("timeout", int64(r.timeout/time.Second))
	}
	if r.size {
		accept("tsize", data.Size())
	}
	if r.window > 0 {
		t.window = int64(min(r.window, maxWindow))
		accept("windowsize", t.window)
	}
	if len(oack) > 2 {
		t.options, t.acked = oack, -1
	}
	t.last = data.Size()/int64(t.block) + 1
	return t
}

// done says whether the client has everything.
func (t *transfer) done() bool { return t.acked == t.last }

// sent is the highest block that the client may have got.
func (t *transfer) sent() int64 {
	if t.acked < 0 {
		return 0
	}
	return min(t.acked+t.window, t.last)
}

// packets calls send with each packet that the client lacks now, in order. A packet is valid until the next one.
func (t *transfer) packets(send func([]byte) error) error {
	if t.acked < 0 {
		return send(t.options)
	}
	buf := make([]byte, 4+t.block)
	for n := t.acked + 1; n <= t.sent(); n++ {
		binary.BigEndian.PutUint16(buf, opData)
		binary.BigEndian.PutUint16(buf[2:], uint16(n))
		size, err := t.data.ReadAt(buf[4:], (n-1)*int64(t.block))
		if err != nil && err != io.EOF {
			return fmt.Errorf("reading block %d: %w", n, err)
		}
		if err := send(buf[:4+size]); err != nil {
			return err
		}
	}
	return nil
}

// acknowledge takes the number of an ACK packet and says whether to send now. Numbers outside the window change
// nothing. An acknowledgement that is repeated is answered once with windows, where it says that a block was lost (RFC
// 7440 section 4), and never without: each duplicate would be answered by one more (RFC 1123 section 4.2.3.1).
func (t *transfer) acknowledge(n uint16) bool {
	further := int64(n - uint16(t.acked))
	switch {
	case further > t.sent()-t.acked:
		return false
	case further > 0:
		t.acked, t.again = t.acked+further, false
		return true
	case t.window == 1 || t.again || t.acked < 0:
		return false
	}
	t.again = true
	return true
}
