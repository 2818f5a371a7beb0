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
)

// askAgain is how often a machine that goes on by HTTP asks for a session.
const askAgain = 10 * time.Second

// together asks the control plane, and goes its way.
func (f *Fetcher) together(ctx context.Context, d blob.Digest, size int64) (io.ReadCloser, error) {
	f.o.Tell(receiver.Progress{Way: "waiting"})
	nets := f.o.Networks()
	a, err := f.ask(ctx, multicast.Ask{Encoding: d, Size: size, Networks: nets})
	if err != nil {
		return f.alone(ctx, d, 0, -1, "the server did not say which way: "+err.Error())
	}
	if a.Relay != nil && f.o.Relay != nil {
		err := errors.New("it has no wired network")
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
	o := receiver.Options{Encoding: d, Size: size, HTTP: http, Relay: near, Layout: a.Session.Layout,
		Spool: f.o.Spool(), Tell: f.o.Tell, Retry: f.o.Retry}
	dl, err := receiver.New(o)
	if err != nil && o.Spool != "" {
		o.Spool = "" // a filesystem without O_TMPFILE: use memory only
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

// running is a Download that is filled while it is read.
type running struct {
	*receiver.Download
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// Close ends it, and waits until it has ended.
func (r *running) Close() error {
	r.cancel()
	err := r.Download.Close()
	r.wg.Wait()
	return err
}

// askFor is how long the control plane may take to decide; after that the machine uses HTTP.
const askFor = time.Minute

// ask asks until the control plane has decided.
func (f *Fetcher) ask(ctx context.Context, ask multicast.Ask) (multicast.Answer, error) {
	ask.NoRelay = f.o.Relay == nil
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

// sources are those that an Answer names, at most 4, then ours; near is how many of the former there are.
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

// run brings every block: by the session, and when that is over for this machine by HTTP, until there is another
// session.
func (f *Fetcher) run(
	ctx context.Context, dl *receiver.Download, a multicast.Answer, d blob.Digest, size int64, nets []multicast.Network,
) error {
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

// join joins the session of a.
func (f *Fetcher) join(
	ctx context.Context, dl *receiver.Download, a multicast.Answer, nets []multicast.Network,
) (receiver.Outcome, error) {
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

// fill fetches missing blocks by HTTP. Unless final, it asks for a session every askAgain, and returns with it.
func (f *Fetcher) fill(
	ctx context.Context, dl *receiver.Download, l multicast.Layout, ask multicast.Ask, final bool,
) (multicast.Answer, error) {
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
		// So little left is not worth a session.
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
