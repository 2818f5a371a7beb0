package appliance

import (
	"context"
	"fmt"

	"golang.org/x/sys/unix"

	"griddle/appliance/readiness"
)

// leastFree is how many bytes must be free for the server to be ready: below it the fleet records no unknown machines
// (fleet.Options.Spare).
const leastFree = 16 << 20

// readiness makes the checks of what the server cannot work without.
func (s *server) readiness() *readiness.Probe {
	return readiness.New(s.log,
		readiness.Check{Name: "state", Do: s.fleet.Writable},
		readiness.Check{Name: "store", Do: func(ctx context.Context) error {
			if _, err := s.store.View(ctx); err != nil {
				return fmt.Errorf("reading the image store: %w", err)
			}
			return nil
		}},
		readiness.Check{Name: "space", Do: func(context.Context) error {
			for _, dir := range []string{s.state.dir, s.config.StoreDir()} {
				free, err := freeSpace(dir)
				if err != nil {
					return err
				}
				if free < leastFree {
					return fmt.Errorf("the filesystem of %s has %d bytes free, and less than %d is too little", dir,
						free, leastFree)
				}
			}
			return nil
		}},
	)
}

// freeSpace is how many bytes a program without privileges can still write to the filesystem of dir.
func freeSpace(dir string) (int64, error) {
	var at unix.Statfs_t
	if err := unix.Statfs(dir, &at); err != nil {
		return 0, fmt.Errorf("reading the free space of the filesystem of %s: %w", dir, err)
	}
	return int64(at.Bavail) * at.Bsize, nil
}
