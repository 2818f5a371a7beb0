package appliance

import (
	"context"
	"time"

	"griddle/imagestore"
)

// tidyEvery is how often the keep rules are applied, and the store is searched for what publications
// that failed left in it.
const tidyEvery = 24 * time.Hour

// tidy does that, at the start and then every day until ctx ends, and keeps the signature of the catalog fresh. Uploads
// that break off would otherwise fill the disk little by little.
func (s *server) tidy(ctx context.Context) error {
	for {
		s.keepReserve()
		d, err := s.store.GC(ctx, imagestore.GCOptions{})
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			s.log.Warn("removing old versions and what failed publications left was not complete", "error", err)
		}
		if d.Blobs > 0 || len(d.Versions) > 0 {
			s.log.Info("removed old versions and what failed publications left", "images", d.Versions,
				"blobs", d.Blobs, "bytes", d.Bytes)
		}
		// Signed anew where half of its life is over, though nobody asks for it.
		if _, err := s.store.Head(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("signing the catalog failed", "error", err)
		}
		select {
		case <-time.After(tidyEvery):
		case <-ctx.Done():
			return nil
		}
	}
}
