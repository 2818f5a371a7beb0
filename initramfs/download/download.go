// Package download gets the image of a job from the sources that the job names, the same in the boot image and on the
// installed system.
//
// Call Head, which refuses a catalog that is older than what the machine knows, and then Open. What Open returns yields
// verified bytes only: with other machines by multicast where the server says so, from the sources otherwise. Both try
// again for as long as their context lasts, and Options.Failed gets each attempt that failed.
//
// A signature counts if its key is in Options.Trust: a key that the site revoked since is not in it.
package download

import (
	"context"
	"io"
	"sync/atomic"

	"griddle/appliance/job"
	"griddle/imagestore/blob"
	"griddle/imagestore/document"
	"griddle/imagestore/fetch"
	"griddle/imagestore/multicast"
	"griddle/imagestore/multicast/fetcher"
)

// Options are how an image is got. Trust, Sources and Failed must be given.
type Options struct {
	Trust   *document.Trust
	Sources []blob.Reader                 // in order of preference
	Source  func(base string) blob.Reader // a source that the server names meanwhile; nil means plain HTTP

	// Ask asks the server how to get a stream; nil means from the sources alone.
	Ask func(ctx context.Context, ask multicast.Ask) (multicast.Answer, error)
	// Networks are those of this machine; nil means multicast.Networks.
	Networks func() []multicast.Network
	// Relay gives a stream to the neighbours while this machine reads it; nil declines.
	Relay func(ctx context.Context, o multicast.RelayOrder, n multicast.Network) (io.ReadCloser, error)

	Ways   *Ways         // hears which ways the bytes come; nil for no one
	Wire   func(n int64) // hears of encoded bytes as they arrive; may be nil
	Failed Attempt       // hears of attempts that will be repeated
}

// Attempt gets an attempt that failed, with its number from 1, and the phase of the job: documents are checked, streams
// are received.
type Attempt func(phase job.Phase, err error, attempt int)

// Open gets the image's documents and checks them.
func Open(ctx context.Context, img job.Image, o Options) (*fetch.Opened, error) {
	plan := fetch.Plan{Ref: img.Ref, Document: blob.Digest(img.Document), Size: img.Size}
	for _, st := range img.Streams {
		plan.Streams = append(plan.Streams, fetch.PlanStream{
			Document: blob.Digest(st.Document), Index: blob.Digest(st.Index), Raw: st.Raw, Wire: st.Wire,
		})
	}
	if o.Ways == nil {
		o.Ways = &Ways{}
	}
	var opened atomic.Bool
	retry := func(err error, attempt int) {
		phase := job.PhaseCheck
		if opened.Load() {
			phase = job.PhaseReceive
		}
		o.Failed(phase, err, attempt)
	}
	together := fetcher.New(fetcher.Options{HTTP: o.Sources, Source: o.Source, Ask: o.Ask, Networks: o.Networks,
		Spool: o.Ways.SpoolDir, Relay: o.Relay, Tell: o.Ways.Tell, Retry: retry})
	// What the fetcher cannot get any more the plain sources may still have.
	sources := append([]blob.Reader{together}, o.Sources...)
	out, err := fetch.Open(ctx, sources, o.Trust, plan, fetch.Options{Wire: o.Wire, Retry: retry})
	if err != nil {
		return nil, err
	}
	opened.Store(true)
	return out, nil
}
