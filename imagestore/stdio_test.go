package imagestore_test

import (
	"context"
	"net"
	"testing"

	"griddle/imagestore"
	"griddle/imagestore/blob"
	"griddle/imagestore/blob/blobtest"
	"griddle/imagestore/mirror"
	"griddle/imagestore/remote"
)

// TestConn runs the suite of blob stores over one connection, and a copy.
func TestConn(t *testing.T) {
	serve := func(t *testing.T, s *imagestore.Store) *imagestore.Store {
		ctx, cancel := context.WithCancel(t.Context())
		a, b := net.Pipe()
		ended := make(chan error, 1)
		go func() { ended <- remote.ServeConn(ctx, s, b) }()
		t.Cleanup(func() {
			a.Close()
			if err := <-ended; err != nil && ctx.Err() == nil {
				t.Errorf("serving: %v", err)
			}
			cancel()
		})
		return remote.OpenConn(a)
	}
	blobtest.Run(t, func(t *testing.T) blob.Store {
		s, err := imagestore.Open(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		return serve(t, s).Blobs
	})
	a := newFixture(t)
	a.versions()
	b := a.another()
	if _, err := mirror.Copy(t.Context(), serve(t, b.s), serve(t, a.s),
		mirror.Options{Images: []string{"web:*"}}); err != nil {
		t.Fatal(err)
	}
	b.whole("web:3")
}
