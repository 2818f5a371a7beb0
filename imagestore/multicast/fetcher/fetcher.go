// Package fetcher gets large blobs the way that the control plane says: in a multicast session, as a relay, or by HTTP.
//
// New makes a Fetcher, which is a blob.Reader. It asks the control plane for blobs that are read from their beginning
// to their end. When a session is over for a machine, it continues by HTTP, and asks for another session every ten
// seconds.
//
// Nothing here needs trust: the reader of a blob verifies its bytes. A source that sends nothing is given up for the
// next one.
package fetcher

import (
	"context"
	"io"

	"griddle/imagestore/blob"
	"griddle/imagestore/multicast"
	"griddle/imagestore/multicast/receiver"
	"griddle/imagestore/multicast/watchdog"
)

// Options say how a Fetcher gets its bytes. HTTP must be given.
type Options struct {
	// HTTP are the sources that have every blob, in order of preference.
	HTTP []blob.Reader
	// Source makes the source for a URL of an Answer; nil means blob.HTTP.
	Source func(base string) blob.Reader
	// Ask asks the control plane; nil means HTTP only.
	Ask func(ctx context.Context, ask multicast.Ask) (multicast.Answer, error)
	// Networks returns this machine's networks; nil means multicast.Networks.
	Networks func() []multicast.Network
	// Spool returns a directory with room for blocks that come out of order; nil and "" mean none.
	Spool func() string
	// Relay holds a session, and returns the encoding's bytes; nil declines.
	Relay func(ctx context.Context, o multicast.RelayOrder, n multicast.Network) (io.ReadCloser, error)
	// Tell gets the progress of one Open at a time; it may be nil.
	Tell func(receiver.Progress)
	// Retry is that of receiver.Options; it may be nil. Blobs that go by HTTP only fail instead.
	Retry func(err error, attempt int)
	// Min is the size in bytes from which blobs are asked for; smaller ones go by HTTP. 0 means 8 MB.
	Min int64
}

// Fetcher is a blob.Reader. It gets large blobs that are read from their beginning to their end by multicast, if the
// control plane has a session, and everything else by HTTP. As with every blob.Reader, the caller verifies the bytes.
type Fetcher struct{ o Options }

// New makes a Fetcher.
func New(o Options) *Fetcher {
	if o.Source == nil {
		o.Source = func(base string) blob.Reader { return &blob.HTTP{Base: base} }
	}
	if o.Networks == nil {
		o.Networks = multicast.Networks
	}
	if o.Spool == nil {
		o.Spool = func() string { return "" }
	}
	if o.Tell == nil {
		o.Tell = func(receiver.Progress) {}
	}
	if o.Min <= 0 {
		o.Min = 8 << 20
	}
	return &Fetcher{o}
}

// DetectsStalls makes a Fetcher a fetch.StallDetector: it notices itself when nothing comes.
func (f *Fetcher) DetectsStalls() {}

// Stat implements blob.Reader.
func (f *Fetcher) Stat(ctx context.Context, d blob.Digest) (n int64, err error) {
	for _, r := range f.o.HTTP {
		err = watchdog.Do(ctx, func(ctx context.Context) error {
			n, err = r.Stat(ctx, d)
			return err
		})
		if err == nil {
			break
		}
	}
	return n, err
}

// Open implements blob.Reader.
func (f *Fetcher) Open(ctx context.Context, d blob.Digest, off, n int64) (rc io.ReadCloser, err error) {
	if off == 0 && n < 0 && f.o.Ask != nil {
		if size, err := f.Stat(ctx, d); err == nil && size >= f.o.Min {
			return f.together(ctx, d, size)
		}
	}
	return f.alone(ctx, d, off, n, "")
}
