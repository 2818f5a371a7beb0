package appliance

import (
	"context"
	"errors"
	"time"

	"griddle/imagestore"
)

// recompressEvery is how often the server looks for images that can be made smaller, and how long it leaves the
// computer to others after its start.
const recompressEvery = time.Hour

// recompress makes images smaller until ctx ends, where the configuration has it: one frame at a time, and at the
// lowest priority, so that whoever installs machines does not notice.
func (s *server) recompress(ctx context.Context) error {
	for {
		select {
		case <-time.After(recompressEvery):
		case <-ctx.Done():
			return nil
		}
		if !s.live.Load().config.Recompress {
			continue
		}
		err := s.store.Recompress(ctx, imagestore.RecompressOptions{Workers: 1, Nice: 19},
			func(r imagestore.Recompressed) {
				s.log.Info("compressed an image further", "image", r.Ref, "parent", r.Parent, "before", r.Before,
					"after", r.After, "dictionary", r.Dictionary)
			})
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, imagestore.ErrNoProgram):
			s.log.Warn("images are not compressed further: the zstd program is missing; run apt-get install zstd, " +
				"or set recompress: false")
			return nil
		case err != nil:
			s.log.Warn("compressing an image further failed", "error", err)
		}
	}
}
