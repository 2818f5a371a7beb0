package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// lock keeps other builds out of the cache until the returned function is called. The kernel lets go of the lock
// when this process ends, however it ends.
func (b *builder) lock(ctx context.Context) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(b.cache, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("locking the cache: %w", err)
	}
	for waiting := false; ; waiting = true {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if err != unix.EWOULDBLOCK && err != unix.EINTR {
			f.Close()
			return nil, fmt.Errorf("locking the cache: %w", err)
		}
		if !waiting {
			b.printf("waiting for another build that uses %s", b.cache)
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("locking the cache: %w", ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}
