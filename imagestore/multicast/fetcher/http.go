package fetcher

import (
	"context"
	"io"
	"time"

	"griddle/imagestore/blob"
	"griddle/imagestore/multicast/receiver"
	"griddle/imagestore/multicast/watchdog"
)

// alone opens a range by HTTP at the first source that has it.
func (f *Fetcher) alone(ctx context.Context, d blob.Digest, off, n int64, why string) (rc io.ReadCloser, err error) {
	for _, r := range f.o.HTTP {
		if rc, err = watchdog.Open(ctx, r, d, off, n); err == nil {
			return &counted{ReadCloser: rc, tell: f.o.Tell, p: receiver.Progress{Way: "http", Why: why}}, nil
		}
	}
	return nil, err
}

// counted reports the bytes that come by HTTP alone.
type counted struct {
	io.ReadCloser
	tell func(receiver.Progress)
	p    receiver.Progress
	last time.Time
}

func (c *counted) Close() error {
	err := c.ReadCloser.Close()
	c.tell(c.p) // a reader that knows the length does not read up to the end
	return err
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.ReadCloser.Read(b)
	c.p.HTTP += int64(n)
	if now := time.Now(); now.Sub(c.last) >= 250*time.Millisecond || err != nil {
		c.last = now
		c.tell(c.p)
	}
	return n, err
}
