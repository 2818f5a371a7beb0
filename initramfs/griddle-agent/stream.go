package main

import (
	"context"
	"net/netip"
	"sync"

	"griddle/appliance/job"
	"griddle/imagestore/blob"
	"griddle/imagestore/multicast"
	"griddle/imagestore/multicast/fetcher"
	"griddle/imagestore/multicast/receiver"
	"griddle/initramfs/uplink"
)

// fetcher gets the image's encodings: with other machines at once where the server says so, from sources otherwise.
func (s *station) fetcher(spec job.Spec, sources []blob.Reader, l *uplink.Lease, w *ways,
	retry func(error, int)) *fetcher.Fetcher {
	return fetcher.New(fetcher.Options{
		HTTP:   sources,
		Source: s.source,
		Ask: func(ctx context.Context, ask multicast.Ask) (a multicast.Answer, err error) {
			err = s.api.stream(ctx, ask, &a)
			return a, err
		},
		Networks: func() []multicast.Network { return networks(l) },
		Spool:    w.spoolDir,
		Relay:    s.relayWhile(spec, sources, w, retry),
		Tell:     w.tell,
		Retry:    retry,
	})
}

// networks are those of this machine, that of the lease first and with its router.
func networks(l *uplink.Lease) []multicast.Network {
	out := []multicast.Network{}
	if addr, ok := netip.AddrFromSlice(l.Prefix.IP.To4()); ok {
		ones, _ := l.Prefix.Mask.Size()
		n := multicast.Network{Interface: l.NIC.Name, Prefix: netip.PrefixFrom(addr, ones),
			Wireless: multicast.Wireless("/sys", l.NIC.Name)}
		if r, ok := netip.AddrFromSlice(l.Router.To4()); ok {
			n.Gateway = r
		}
		out = append(out, n)
	}
	for _, n := range multicast.Networks() {
		if n.Interface != l.NIC.Name {
			out = append(out, n)
		}
	}
	return out
}

// ways adds up which ways the bytes of all streams came, and knows where they may wait.
type ways struct {
	mu    sync.Mutex
	base  job.Ways // of the streams that are through
	last  receiver.Progress
	spool string
	heard bool
}

func (w *ways) tell(p receiver.Progress) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if l := w.last; p.Multicast < l.Multicast || p.HTTP < l.HTTP || p.Relay < l.Relay {
		w.base.Multicast += l.Multicast
		w.base.Repair += l.Repair
		w.base.HTTP += l.HTTP
		w.base.Relay += l.Relay
	}
	w.last, w.heard = p, true
}

// now implements install.Options.Ways.
func (w *ways) now() *job.Ways {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.heard {
		return nil
	}
	l := w.last
	return &job.Ways{
		Now: l.Way, Multicast: w.base.Multicast + l.Multicast, Repair: w.base.Repair + l.Repair,
		Relay: w.base.Relay + l.Relay, HTTP: w.base.HTTP + l.HTTP, Machines: l.Receivers, Loss: l.Loss, Wait: l.Wait,
		Why: job.Sentence(l.Why),
	}
}

// useSpool implements install.Options.Spool.
func (w *ways) useSpool(dir string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.spool = dir
}

func (w *ways) spoolDir() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.spool
}
