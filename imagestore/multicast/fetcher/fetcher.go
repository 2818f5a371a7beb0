// Package fetcher gets large blobs the way that the control plane says: in a multicast session, as a relay, or by HTTP.
//
// New makes a Fetcher, which is a blob.Reader. It asks the control plane for blobs that are read from their beginning to their end. A
// machine for which a session is over goes on by HTTP, and asks for another session every ten seconds.
//
// Nothing here needs trust: whoever reads checks the bytes. A source that sends nothing is given up for the next one.
package fetcher

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"griddle/imagestore/blob"
	"griddle/imagestore/multicast"
	"griddle/imagestore/multicast/receiver"
	"griddle/imagestore/multicast/watchdog"
)

// Options say how a Fetcher gets its bytes. HTTP must be given.
type Options struct {
	HTTP     []blob.Reader                                                                                 // what everything can be had from, in order of preference
	Source   func(base string) blob.Reader                                                                 // of a URL in an Answer; nil means blob.HTTP
	Ask      func(ctx context.Context, ask multicast.Ask) (multicast.Answer, error)                        // the control plane; nil means HTTP alone
	Networks func() []multicast.Network                                                                    // that this machine is on
	Spool    func() string                                                                                 // a directory that has room for what comes out of order; nil and "" mean none
	Relay    func(ctx context.Context, o multicast.RelayOrder, n multicast.Network) (io.ReadCloser, error) // holds a session, and gives the bytes; nil declines
	Tell     func(receiver.Progress)                                                                       // may be nil; of one Open at a time
	Retry    func(err error, attempt int)                                                                  // as in DownloadOptions; what is read by HTTP alone fails instead, and who reads tries again
	Min      int64                                                                                         // bytes below which nobody is asked; 0 means 8 MB
}

// Fetcher is a blob.Reader that gets large blobs, read from their beginning to their end, by multicast where the control plane has a
// session, and everything else by HTTP. What it gives is not verified as a whole, as with every Reader.
type Fetcher struct{ o Options }

// New makes one.
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

// Patient says that it notices itself when nothing comes (imagestore.Patient).
func (f *Fetcher) Patient() {}

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
	c.tell(c.p) // whoever knows the length never sees the end
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

// askAgain is how long a machine that has HTTP alone waits before it asks whether there is a session now.
const askAgain = 10 * time.Second

// together asks the control plane.
func (f *Fetcher) together(ctx context.Context, d blob.Digest, size int64) (io.ReadCloser, error) {
	f.o.Tell(receiver.Progress{Way: "waiting"})
	nets := f.o.Networks()
	a, err := f.ask(ctx, multicast.Ask{Encoding: d, Size: size, Networks: nets})
	if err != nil {
		return f.alone(ctx, d, 0, -1, "the appliance did not say: "+err.Error())
	}
	if a.Relay != nil && f.o.Relay != nil {
		err := errors.New("it is on no wired network")
		if w := multicast.Wired(nets); len(w) > 0 {
			var rc io.ReadCloser
			if rc, err = f.o.Relay(ctx, *a.Relay, w[0]); err == nil {
				return rc, nil
			}
		}
		a.Why = "this machine cannot relay: " + err.Error()
	}
	if a.Session == nil {
		return f.alone(ctx, d, 0, -1, a.Why)
	}
	http, near := f.sources(a)
	o := receiver.Options{Encoding: d, Size: size, HTTP: http, Relay: near, Layout: a.Session.Layout, Spool: f.o.Spool(), Tell: f.o.Tell, Retry: f.o.Retry}
	dl, err := receiver.New(o)
	if err != nil && o.Spool != "" {
		o.Spool = "" // a filesystem that makes no files without a name; memory has to do
		dl, err = receiver.New(o)
	}
	if err != nil {
		return f.alone(ctx, d, 0, -1, err.Error())
	}
	ctx, cancel := context.WithCancel(ctx)
	r := &running{Download: dl, cancel: cancel}
	r.wg.Go(func() {
		dl.End(f.run(ctx, dl, a, d, size, nets))
	})
	return r, nil
}

// running is a Download whose bytes come while it is read.
type running struct {
	*receiver.Download
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// Close ends it, and waits for that.
func (r *running) Close() error {
	r.cancel()
	err := r.Download.Close()
	r.wg.Wait()
	return err
}

// askFor is how long a control plane may take, and put off, until HTTP is taken.
const askFor = time.Minute

// ask asks until there is an answer that says what to do.
func (f *Fetcher) ask(ctx context.Context, ask multicast.Ask) (multicast.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	for {
		a, err := f.o.Ask(ctx, ask)
		if err != nil || a.After <= 0 || a.Session != nil || a.Relay != nil {
			return a, err
		}
		f.o.Tell(receiver.Progress{Way: "waiting", Why: a.Why})
		select {
		case <-ctx.Done():
			return multicast.Answer{Sources: a.Sources, Why: a.Why}, nil
		case <-time.After(min(max(a.After, 100*time.Millisecond), 10*time.Second)):
		}
	}
}

// sources are what an Answer names besides ours, those first, and how many they are.
func (f *Fetcher) sources(a multicast.Answer) (all []blob.Reader, near int) {
	if a.Session != nil {
		for _, base := range a.Session.Sources[:min(len(a.Session.Sources), 4)] {
			if !f.ours(base) {
				all = append(all, f.o.Source(base))
			}
		}
	}
	return append(all[:len(all):len(all)], f.o.HTTP...), len(all)
}

func (f *Fetcher) ours(base string) bool {
	for _, r := range f.o.HTTP {
		if h, ok := r.(*blob.HTTP); ok && h.Base == base {
			return true
		}
	}
	return false
}

// run brings every block: by the session, and when that is over for this machine by HTTP, beside which it asks for another.
func (f *Fetcher) run(ctx context.Context, dl *receiver.Download, a multicast.Answer, d blob.Digest, size int64, nets []multicast.Network) error {
	for {
		out, err := f.join(ctx, dl, a, nets)
		if dl.Missing() == 0 {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		why := out.String()
		if err != nil {
			why = err.Error()
		}
		dl.ByHTTP(why)
		final := out == receiver.Demoted || out == receiver.Unheard || out == receiver.Polluted || err != nil
		ask := multicast.Ask{Encoding: d, Size: size, Networks: nets, Former: why}
		if a, err = f.fill(ctx, dl, a.Session.Layout, ask, final); err != nil || a.Session == nil {
			return err
		}
	}
}

// join takes part in the session of a.
func (f *Fetcher) join(ctx context.Context, dl *receiver.Download, a multicast.Answer, nets []multicast.Network) (receiver.Outcome, error) {
	s := *a.Session
	if err := s.Validate(); err != nil {
		return 0, err
	}
	sources, _ := f.sources(a)
	hashes, err := multicast.FetchHashes(ctx, sources, s)
	if err != nil {
		return 0, err
	}
	ifi, err := near(nets, s.Sender.Addr())
	if err != nil {
		return 0, err
	}
	return dl.Join(ctx, s, hashes, ifi)
}

// near is the interface that reaches addr without a router.
func near(nets []multicast.Network, addr netip.Addr) (*net.Interface, error) {
	for _, n := range nets {
		if !n.Wireless && n.Prefix.Contains(addr) {
			return net.InterfaceByName(n.Interface)
		}
	}
	return nil, fmt.Errorf("joining a session of %v: no wired network of this machine reaches it", addr)
}

// fill fetches what is missing by HTTP. Where not final, it asks for a session every now and then, and returns with one.
func (f *Fetcher) fill(ctx context.Context, dl *receiver.Download, l multicast.Layout, ask multicast.Ask, final bool) (multicast.Answer, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if final {
		return multicast.Answer{}, dl.Fill(ctx, nil)
	}
	filled := make(chan error, 1)
	go func() { filled <- dl.Fill(ctx, nil) }()
	t := time.NewTicker(askAgain)
	defer t.Stop()
	for {
		select {
		case err := <-filled:
			return multicast.Answer{}, err
		case <-t.C:
		}
		// What is nearly through needs nobody else.
		if int64(dl.Missing())*l.Block() < f.o.Min {
			continue
		}
		a, err := f.ask(ctx, ask)
		if err == nil && a.Session != nil && a.Session.Layout == l {
			cancel()
			<-filled
			return a, nil
		}
	}
}
