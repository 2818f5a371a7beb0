package appliance

import (
	"context"
	"time"
)

// tidyEvery is how often the store is searched for what publications that failed left in it.
const tidyEvery = 24 * time.Hour

// tidy removes that, at the start and then every day until ctx ends, and keeps the signature of the catalog fresh. Uploads
// that break off would otherwise fill the disk little by little.
func (s *server) tidy(ctx context.Context) error {
	for {
		switch d, err := s.store.Collect(ctx); {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			s.log.Warn("what failed publications left cannot be removed", "error", err)
		case d.Blobs > 0:
			s.log.Info("removed what failed publications left", "blobs", d.Blobs, "bytes", d.Bytes)
		}
		// Signed anew where half of its life is over, though nobody asks for it.
		if _, err := s.store.Head(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("the catalog cannot be signed", "error", err)
		}
		select {
		case <-time.After(tidyEvery):
		case <-ctx.Done():
			return nil
		}
	}
}
