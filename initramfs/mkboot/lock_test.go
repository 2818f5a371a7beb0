package main

import (
	"context"
	"errors"
	"io"
	"testing"
)

func TestLock(t *testing.T) {
	first := &builder{cache: t.TempDir(), log: io.Discard}
	waiting := make(chan struct{}, 1)
	second := &builder{cache: first.cache,
		log: writerFunc(func(b []byte) (int, error) { waiting <- struct{}{}; return len(b), nil })}
	unlock, err := first.lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := second.lock(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a lock that is held, given up = %v, want %v", err, context.Canceled)
	}
	<-waiting
	got := make(chan error, 1)
	go func() {
		unlock, err := second.lock(t.Context())
		if err == nil {
			unlock()
		}
		got <- err
	}()
	<-waiting
	select {
	case err := <-got:
		t.Fatalf("a lock that is held = %v, want to wait", err)
	default:
	}
	unlock()
	if err := <-got; err != nil {
		t.Errorf("a lock that was let go = %v", err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }
