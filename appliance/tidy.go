package appliance

import (
	"context"
	"time"
)

// tidyEvery is how often the store is searched for what publications that failed left in it.
const tidyEvery = 24 * time.Hour

// tidy removes that, at the start and then every day until ctx ends. Uploads that break off would otherwise fill the
// disk little by little.
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
		select {
		case <-time.After(tidyEvery):
		case <-ctx.Done():
			return nil
		}
	}
}
