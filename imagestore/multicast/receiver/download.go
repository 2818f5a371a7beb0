// Package receiver is a machine's side of a multicast session: the bytes of one encoding, in order, whichever way each of them came.
//
// New makes a Download. Join brings blocks by multicast, and Fill brings missing blocks by HTTP; both may run at once. Read gives the
// bytes out in order.
//
//	group  --> socket --> membership --> collector: symbols to blocks --+
//	                                                                      +--> buffer --> Read
//	HTTP   --> Fill -----------------------------------------------------+
//
// A block leaves a Download only after its SHA-256 matched the session's list. Whatever happens to the sender or the network, a
// Download goes on by HTTP. Its memory is bounded below 128 MB, whatever a sender does (see Download).
//
// Sources: RFC 5740 (NORM) section 5.2 for what a receiver reports and when; ip(7) for multicast sockets.
package receiver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"griddle/imagestore/blob"
	"griddle/imagestore/multicast"
	"griddle/imagestore/multicast/datagram"
	"griddle/imagestore/multicast/watchdog"
)

// Options say what is to come, and where it may wait. Encoding, Size and HTTP must be given.
type Options struct {
	Encoding blob.Digest
	Size     int64
	HTTP     []blob.Reader    // for what multicast does not bring, in order of preference
	Relay    int              // how many of the first of HTTP are a neighbour's
	Layout   multicast.Layout // the zero value means DefaultLayout
	Memory   int64            // bytes of blocks that wait; 0 means the most that is taken, 24 MB
	Spool    string           // directory for a file of what memory cannot hold; "" for none
	Hashes   multicast.Hashes // of the blocks, where they are known before a session is joined; may be nil
	First    int              // blocks that are there already: the download begins after them
	Tell     func(Progress)
	Backoff  time.Duration // first pause after HTTP failed; 0 means 250 ms

	// Retry is told that a source failed, for the attempt-th time since bytes last came, and is tried again; it may be nil.
	Retry func(err error, attempt int)
}

// Progress is how a Download goes.
type Progress struct {
	Way       string         // "waiting", "multicast", "relay" or "http"
	Multicast int64          // bytes of blocks that came by multicast
	Repair    int64          // bytes of parity among what came
	Relay     int64          // bytes that came from a neighbour by HTTP
	HTTP      int64          // bytes that came from elsewhere by HTTP
	State     datagram.State // of the session, as it was heard last
	Receivers int            // of the session
	Loss      float64        // of the session's datagrams, 0 to 1
	Wait      time.Duration  // until the session's state ends by itself, where that is known
	Why       string         // why it is not multicast, for people
}

// Download is one encoding on its way to this machine. Join brings blocks by multicast, Fill those that are missing by HTTP, the two
// may run at once; Read gives the bytes out in order.
//
// Memory: Memory, 25 MB of blocks that are being put together, and the tables of the code, 75 MB, which are made once in a program that
// joins a session and stay (github.com/klauspost/reedsolomon, initMul16LUT). What is live is below 128 MB; the garbage
// collector's share comes on top, as debug.SetMemoryLimit has it.
type Download struct {
	o     Options
	stock *stock

	mu       sync.Mutex
	hashes   multicast.Hashes // nil until a session was joined
	progress Progress
	told     time.Time

	rest []byte // of the block that Read is in
}

// New makes one.
func New(o Options) (*Download, error) {
	if o.Layout == (multicast.Layout{}) {
		o.Layout = multicast.DefaultLayout()
	}
	if err := o.Layout.Validate(); err != nil {
		return nil, err
	}
	if o.Size < 1 || o.Size > multicast.MaxSize || len(o.HTTP) == 0 {
		return nil, fmt.Errorf("downloading %s: %d bytes from %d sources", o.Encoding, o.Size, len(o.HTTP))
	}
	if o.Memory <= 0 || o.Memory > mostMemory {
		o.Memory = mostMemory
	}
	if o.Backoff <= 0 {
		o.Backoff = 250 * time.Millisecond
	}
	d := &Download{o: o, stock: newStock(o.Layout, o.Size, o.Memory), hashes: o.Hashes}
	d.stock.skip(o.First)
	if o.Spool != "" {
		if err := d.stock.useSpool(o.Spool); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// mostMemory is 17 blocks. Machines that began together are one or two blocks behind the sender, at any loss that they are not sent
// away for; more helps only a reader that is slower than the session, for which there is the spool.
const mostMemory = 24 << 20

// Read implements io.Reader: the encoding from its beginning. It waits for whoever brings the next block.
func (d *Download) Read(p []byte) (int, error) {
	for len(d.rest) == 0 {
		b, err := d.stock.take()
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

// Close lets go of memory and spool. Join and Fill end.
func (d *Download) Close() error {
	d.stock.close()
	return nil
}

// Missing is how many blocks did not come yet.
func (d *Download) Missing() int {
	left, _ := d.stock.missing()
	return left
}

// ByHTTP notes that the rest comes by HTTP, and why.
func (d *Download) ByHTTP(why string) {
	d.tell(func(p *Progress) { p.Why, p.Way = why, "http" })
}

// tell changes the progress and passes it on, four times a second at most, or at once where the way changes.
func (d *Download) tell(change func(*Progress)) {
	d.mu.Lock()
	before := d.progress.Way
	change(&d.progress)
	p, now := d.progress, time.Now()
	due := d.o.Tell != nil && (p.Way != before || now.Sub(d.told) >= 250*time.Millisecond)
	if due {
		d.told = now
	}
	d.mu.Unlock()
	if due {
		d.o.Tell(p)
	}
}

// tellEnd passes on how it went, the last quarter of a second included.
func (d *Download) tellEnd() {
	d.mu.Lock()
	p := d.progress
	d.mu.Unlock()
	if d.o.Tell != nil {
		d.o.Tell(p)
	}
}

// Progress is how it goes now.
func (d *Download) Progress() Progress {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.progress
}

// Fill fetches by HTTP every missing block that want says is wanted, nil for all, until none is left, ctx ends or the Download is
// closed. A source that fails is tried again after a pause, the next one first. What is away comes back, so that this never ends it;
// bytes that are wrong or absent at every source, three times over, do. Blocks are held against their hashes where a session gave
// those; who reads verifies either way.
func (d *Download) Fill(ctx context.Context, want func(block int) bool) error {
	pause, source, bad, attempt := d.o.Backoff, 0, 0, 0
	for {
		_, next := d.stock.missing()
		i := d.stock.hole(next, want)
		if i < 0 {
			if left, _ := d.stock.missing(); left == 0 || want != nil {
				return ctx.Err()
			}
			// All that memory has room for is there: the reader makes more.
			if err := d.stock.waitForRoom(ctx); err != nil {
				return err
			}
			continue
		}
		n, err := d.fetch(ctx, source, i, want)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if n > 0 {
			pause, bad, attempt = d.o.Backoff, 0, 0
		}
		if err == nil {
			continue
		}
		if errors.Is(err, errStockClosed) {
			return err
		}
		d.tell(func(p *Progress) { p.Why = err.Error() })
		if lasting(err) {
			if bad++; bad >= fillAttempts*len(d.o.HTTP) {
				return fmt.Errorf("asked %d times: %w", bad, err)
			}
		}
		if n == 0 {
			source = (source + 1) % len(d.o.HTTP)
		}
		if attempt++; d.o.Retry != nil {
			d.o.Retry(err, attempt)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
		pause = min(2*pause, 40*d.o.Backoff)
	}
}

// fillAttempts is how often each source may have wrong bytes or none.
const fillAttempts = 3

// lasting says whether an error is of the kind that waiting does not cure.
func lasting(err error) bool {
	return errors.Is(err, blob.ErrMismatch) || errors.Is(err, blob.ErrRange) || errors.Is(err, blob.ErrNotExist) || errors.Is(err, blob.ErrDenied)
}

// fetch reads the blocks that are missing in a row from i on, as long as nobody else brings them, and returns how many it got. Where it
// fetches all, it waits for their room; the source is held back meanwhile.
func (d *Download) fetch(ctx context.Context, source, i int, want func(int) bool) (n int, err error) {
	end, length := i+max(1, d.stock.gap(i, want)), int64(-1)
	if end < d.stock.blocks {
		length = int64(end-i) * d.o.Layout.Block()
	}
	rc, err := watchdog.Open(ctx, d.o.HTTP[source], d.o.Encoding, int64(i)*d.o.Layout.Block(), length)
	if err != nil {
		return 0, err
	}
	defer rc.Close()
	for ; i < end; i++ {
		if want == nil {
			if err := d.stock.waitFor(ctx, i); err != nil {
				return n, err
			}
		}
		if n > 0 && (!d.stock.wants(i) || want != nil && !want(i)) {
			break
		}
		b := make([]byte, d.o.Layout.BlockSize(d.o.Size, i))
		if err := d.block(rc, b, source, want == nil && n > 0); err != nil {
			return n, fmt.Errorf("block %d of encoding %s: %w", i, d.o.Encoding, err)
		}
		d.mu.Lock()
		h := d.hashes
		d.mu.Unlock()
		if h != nil && !h.Match(i, b) {
			return n, fmt.Errorf("block %d of encoding %s: %w", i, d.o.Encoding, blob.ErrMismatch)
		}
		d.stock.put(i, b)
		n++
	}
	return n, nil
}

// block reads one block from a source, and tells of it; alone says that no session brings others.
func (d *Download) block(r io.Reader, b []byte, source int, alone bool) error {
	for got := 0; got < len(b); {
		k, err := r.Read(b[got:])
		got += k
		d.tell(func(p *Progress) {
			way, bytes := "http", &p.HTTP
			if source < d.o.Relay {
				way, bytes = "relay", &p.Relay
			}
			*bytes += int64(k)
			if p.Way != "multicast" || alone {
				p.Way = way
			}
		})
		switch {
		case got == len(b):
		case errors.Is(err, io.EOF):
			return fmt.Errorf("%w: it ends after %d of %d bytes", blob.ErrMismatch, got, len(b))
		case err != nil:
			return err
		}
	}
	return nil
}

var errPolluted = errors.New("its bytes are not what its hash says")

// End says that no more blocks come: a reader that gets to a missing block gets err, or io.ErrUnexpectedEOF if it is nil. The last
// progress goes to Tell.
func (d *Download) End(err error) {
	d.tellEnd()
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	d.stock.end(err)
}
