// Package receiver is a machine's side of a multicast session: the bytes of one encoding, in order, whichever way
// each of them came.
//
// New makes a Download. Join brings blocks by multicast, and Fill brings missing blocks by HTTP; both may run at
// once. Read gives the bytes out in order.
//
//	group  --> socket --> membership --> collector: symbols to blocks --+
//	                                                                      +--> buffer --> Read
//	HTTP   --> Fill -----------------------------------------------------+
//
// A block leaves a Download only after its SHA-256 matched the session's list. Whatever happens to the sender or the
// network, a Download continues by HTTP. Its memory is bounded below 128 MB, whatever a sender does (see Download).
//
// Sources: RFC 5740 (NORM) section 5.2 for what a receiver reports and when; ip(7) for multicast sockets.
package receiver

import (
	"fmt"
	"io"
	"sync"
	"time"

	"griddle/imagestore/blob"
	"griddle/imagestore/multicast"
)

// Options say what to download, and from where. Encoding, Size and HTTP must be given.
type Options struct {
	Encoding blob.Digest
	Size     int64
	HTTP     []blob.Reader    // for what multicast does not bring, in order of preference
	Relay    int              // how many of HTTP are neighbours'; those come first
	Layout   multicast.Layout // the zero value means DefaultLayout
	Memory   int64            // bytes for blocks that wait for the reader; 0 means 24 MB, which is also the most
	Spool    string           // directory for a file of blocks that memory cannot hold; "" for none
	Hashes   multicast.Hashes // of the blocks, where they are known before a session is joined; may be nil
	First    int              // blocks that are there already: the download begins after them
	Tell     func(Progress)
	Backoff  time.Duration // first pause after a source failed; 0 means 250 ms

	// Retry is called when a source fails and is tried again, with the number of failures since bytes last came, from
	// 1. It may be nil.
	Retry func(err error, attempt int)
}

// Download is one encoding on its way to this machine. Join brings blocks by multicast, and Fill brings missing
// blocks by HTTP; both may run at once. Read gives the bytes out in order.
//
// Its memory is Options.Memory, 25 MB for blocks that are being put together, and 75 MB for the tables of the code,
// which a program that joins a session makes once and keeps (github.com/klauspost/reedsolomon, initMul16LUT). Live
// memory is below 128 MB; the garbage collector's overhead comes on top (debug.SetMemoryLimit).
type Download struct {
	o      Options
	buffer *buffer

	mu       sync.Mutex
	hashes   multicast.Hashes // nil until a session was joined
	progress Progress
	told     time.Time

	rest []byte // of the block that Read is in
}

// New makes a Download. It fails if o is not valid, or if no file can be made in o.Spool.
func New(o Options) (*Download, error) {
	if o.Layout == (multicast.Layout{}) {
		o.Layout = multicast.DefaultLayout()
	}
	if err := o.Layout.Validate(); err != nil {
		return nil, err
	}
	if o.Size < 1 || o.Size > multicast.MaxSize || len(o.HTTP) == 0 {
		return nil, fmt.Errorf("downloading %s: a size of %d bytes and %d sources are not valid", o.Encoding, o.Size,
			len(o.HTTP))
	}
	if o.Memory <= 0 || o.Memory > mostMemory {
		o.Memory = mostMemory
	}
	if o.Backoff <= 0 {
		o.Backoff = 250 * time.Millisecond
	}
	d := &Download{o: o, buffer: newBuffer(o.Layout, o.Size, o.Memory), hashes: o.Hashes}
	d.buffer.skip(o.First)
	if o.Spool != "" {
		if err := d.buffer.useSpool(o.Spool); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// mostMemory is 17 blocks. Machines that began together are one or two blocks behind the sender, at any loss that a
// session tolerates. More would help only a reader that is slower than the session, which is what the spool is for.
const mostMemory = 24 << 20

// Read implements io.Reader: the encoding from its beginning. It waits until the next block comes.
func (d *Download) Read(p []byte) (int, error) {
	for len(d.rest) == 0 {
		b, err := d.buffer.read()
		if err != nil {
			return 0, err
		}
		if b == nil {
			return 0, io.EOF
		}
		d.rest = b
	}
	n := copy(p, d.rest)
	d.rest = d.rest[n:]
	return n, nil
}

// Close frees memory and spool. Join, Fill and Read end.
func (d *Download) Close() error {
	d.buffer.close()
	return nil
}

// Missing is how many blocks have not come yet.
func (d *Download) Missing() int {
	left, _ := d.buffer.missing()
	return left
}

// End says that no more blocks come: a reader that gets to a missing block gets err, or io.ErrUnexpectedEOF if it is
// nil. The last progress goes to Tell.
func (d *Download) End(err error) {
	d.tellEnd()
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	d.buffer.end(err)
}
