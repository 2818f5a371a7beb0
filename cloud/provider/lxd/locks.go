package lxd

import (
	"context"
	"sync"
)

// locks are named locks that a context ends the waiting for. A lock of a resource (kind/stack/name) is taken before
// those of what belongs to several (pool, network), and of these never two.
type locks struct {
	mu   sync.Mutex
	held map[string]chan struct{}
}

// lock takes the lock of a name.
func (l *locks) lock(ctx context.Context, name string) (unlock func(), err error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		l.mu.Lock()
		busy, ok := l.held[name]
		if !ok {
			defer l.mu.Unlock()
			return l.take(name), nil
		}
		l.mu.Unlock()
		select {
		case <-busy:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// try takes a lock that is free, and returns nil for one that is not.
func (l *locks) try(name string) (unlock func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, taken := l.held[name]; taken {
		return nil
	}
	return l.take(name)
}

// take is with l.mu held.
func (l *locks) take(name string) (unlock func()) {
	free := make(chan struct{})
	l.held[name] = free
	return func() {
		l.mu.Lock()
		delete(l.held, name)
		l.mu.Unlock()
		close(free)
	}
}
