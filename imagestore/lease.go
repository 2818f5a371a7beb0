package imagestore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"griddle/imagestore/catalog"
)

// leaser is a catalog that gives leases.
type leaser interface {
	Lease(ctx context.Context, r catalog.LeaseRequest) (catalog.Lease, error)
	Release(ctx context.Context, id string) error
}

// Lease gives or renews a lease; it is durable when Lease returns. The error is catalog.ErrNotFound if the store
// has none of the images, or the lease has ended.
func (s *Store) Lease(ctx context.Context, r catalog.LeaseRequest) (catalog.Lease, error) {
	l, ok := s.Catalog.(leaser)
	if !ok {
		return catalog.Lease{}, fmt.Errorf("leasing images: %w", errors.ErrUnsupported)
	}
	out, err := l.Lease(ctx, r)
	if err != nil {
		return catalog.Lease{}, fmt.Errorf("leasing images: %w", err)
	}
	return out, nil
}

// Release ends a lease before its time.
func (s *Store) Release(ctx context.Context, id string) error {
	if l, ok := s.Catalog.(leaser); ok {
		if err := l.Release(ctx, id); err != nil {
			return fmt.Errorf("releasing lease: %w", err)
		}
	}
	return nil
}

// holdTime is what hold asks for; it renews at a third of it.
const holdTime = 10 * time.Minute

// Hold has a lease on images until end is called. If the store gives no lease, because its directory cannot be
// written or its server has too many, Hold continues without one. Then a reader gets an error if a blob is removed
// while it is read.
func (s *Store) Hold(ctx context.Context, refs []string) (end func()) {
	l, err := s.Lease(ctx, catalog.LeaseRequest{Refs: refs, Seconds: int64(holdTime / time.Second)})
	if err != nil {
		return func() {}
	}
	rctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		t := time.NewTicker(holdTime / 3)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				// the next one may succeed
				s.Lease(rctx, catalog.LeaseRequest{ID: l.ID, Seconds: int64(holdTime / time.Second)})
			case <-rctx.Done():
				return
			}
		}
	}()
	return func() {
		cancel()
		<-done
		// Also after a Ctrl-C; what is not released expires.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		s.Release(ctx, l.ID)
	}
}
