package multicast_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http/httptest"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"griddle/imagestore/blob"
	"griddle/imagestore/multicast"
	"griddle/imagestore/multicast/receiver"
	"griddle/imagestore/multicast/relay"
)

// trickle is a source at the end of a slow line, with the list of block hashes.
type trickle struct {
	*memory
	list multicast.Hashes
	each time.Duration // for 64 kB
}

func (s *trickle) Open(ctx context.Context, d blob.Digest, off, n int64) (io.ReadCloser, error) {
	if d == blob.Sum(s.list) {
		return io.NopCloser(bytes.NewReader(s.list)), nil
	}
	rc, err := s.memory.Open(ctx, d, off, n)
	return &slowBody{rc, s.each}, err
}

type slowBody struct {
	io.ReadCloser
	each time.Duration
}

func (b *slowBody) Read(p []byte) (int, error) {
	time.Sleep(b.each)
	return b.ReadCloser.Read(p)
}

// A relay sends what it has while it fetches the rest, reads it itself, and fetches each byte once.
func TestRelay(t *testing.T) {
	r := newRoom(t, 2, 9<<20+33)
	origin := &trickle{memory: &memory{b: r.data}, list: r.hashes, each: 10 * time.Millisecond}
	sources := []blob.Reader{origin}
	secret, id := multicast.NewSecret(), multicast.NewID()
	info := multicast.Session{ID: id, Encoding: blob.Sum(r.data), Size: int64(len(r.data)),
		Layout: multicast.DefaultLayout(), Hashes: blob.Sum(r.hashes), Group: r.group}
	spool, err := relay.NewSpool(t.Context(), t.TempDir(), info, sources)
	if err != nil {
		t.Fatal(err)
	}
	defer spool.Close()
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	wg.Go(func() {
		if err := spool.Fill(ctx, sources, nil, nil); err != nil && ctx.Err() == nil {
			t.Error(err)
		}
	})
	reports := make(chan multicast.RelayReport, 100)
	wg.Go(func() {
		err := r.bed.Sender.Do(func() error {
			return spool.Hold(ctx, relay.HoldOptions{
				Order: multicast.RelayOrder{Session: info, Secret: secret, Gather: time.Minute,
					Machines: 2, Rate: 20_000_000},
				Network: multicast.Network{Interface: "eth0", Prefix: r.bed.Sender.Address},
				Report: func(_ context.Context, x multicast.RelayReport) (multicast.RelayCommand, error) {
					reports <- x
					return multicast.RelayCommand{}, nil
				},
			})
		})
		if err != nil && ctx.Err() == nil {
			t.Error(err)
		}
	})
	first := <-reports
	if first.Session != id || len(first.Sources) != 1 || first.Status.Over() {
		t.Fatalf("it reports %+v", first)
	}
	r.secret, r.info = secret, info
	r.info.Sender = first.Sender
	if r.info.Key, err = multicast.GroupKey(secret, id); err != nil {
		t.Fatal(err)
	}
	var own []byte
	wg.Go(func() { own, _ = io.ReadAll(spool.Reader(ctx)) })
	for i, g := range r.all(r.bed.Receivers, receiver.Options{}) {
		if g.outcome != receiver.Complete || g.p.HTTP > 0 {
			t.Errorf("neighbour %d: %v, %d bytes by HTTP", i+1, g.outcome, g.p.HTTP)
		}
	}
	for last := range reports {
		if last.Status.Over() {
			break
		}
	}
	wg.Wait()
	if !bytes.Equal(own, r.data) {
		t.Errorf("the relay itself read %d bytes", len(own))
	}
	if n := origin.given.Load(); n != int64(len(r.data)) {
		t.Errorf("the origin gave %d bytes, want each of %d once", n, len(r.data))
	}
}

// A neighbour gets ranges from a relay by HTTP, also those that have not come yet.
func TestRelayServesRanges(t *testing.T) {
	r := newRoom(t, 1, 5<<20)
	origin := &trickle{memory: &memory{b: r.data}, list: r.hashes, each: 2 * time.Millisecond}
	info := multicast.Session{ID: 1, Encoding: blob.Sum(r.data), Size: int64(len(r.data)),
		Layout: multicast.DefaultLayout(), Hashes: blob.Sum(r.hashes),
		Group: netip.MustParseAddrPort("239.255.1.1:1")}
	spool, err := relay.NewSpool(t.Context(), t.TempDir(), info, []blob.Reader{origin})
	if err != nil {
		t.Fatal(err)
	}
	defer spool.Close()
	web := httptest.NewServer(spool)
	t.Cleanup(web.Close)
	remote := &blob.HTTP{Base: web.URL}
	filled := make(chan error, 1)
	go func() { filled <- spool.Fill(t.Context(), []blob.Reader{origin}, nil, nil) }()
	rc, err := remote.Open(t.Context(), info.Encoding, 4<<20, 100) // near the end: it is waited for
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	if b, err := io.ReadAll(rc); err != nil || !bytes.Equal(b, r.data[4<<20:4<<20+100]) {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	if err := <-filled; err != nil {
		t.Error(err)
	}
	if b, err := blob.ReadAll(t.Context(), remote, info.Encoding, info.Size); err != nil || !bytes.Equal(b, r.data) {
		t.Errorf("the whole: %d bytes, %v", len(b), err)
	}
	if b, err := blob.ReadAll(t.Context(), remote, info.Hashes, 1<<20); err != nil || !bytes.Equal(b, r.hashes) {
		t.Errorf("the hashes: %d bytes, %v", len(b), err)
	}
	if _, err := remote.Open(t.Context(), blob.Sum(nil), 0, -1); err == nil {
		t.Error("it has another blob")
	}
}

// TestPrivateRelayServesNoHTTP holds a private session: it names no source, and opens no port for TCP.
func TestPrivateRelayServesNoHTTP(t *testing.T) {
	r := newRoom(t, 1, 2<<20)
	origin := &trickle{memory: &memory{b: r.data}, list: r.hashes}
	sources := []blob.Reader{origin}
	info := multicast.Session{ID: multicast.NewID(), Encoding: blob.Sum(r.data), Size: int64(len(r.data)),
		Layout: multicast.DefaultLayout(), Hashes: blob.Sum(r.hashes), Group: r.group}
	spool, err := relay.NewSpool(t.Context(), t.TempDir(), info, sources)
	if err != nil {
		t.Fatal(err)
	}
	defer spool.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	reports := make(chan multicast.RelayReport, 100)
	ended := make(chan error, 1)
	go func() {
		ended <- r.bed.Sender.Do(func() error {
			return spool.Hold(ctx, relay.HoldOptions{
				Order: multicast.RelayOrder{Session: info, Secret: multicast.NewSecret(), Gather: time.Minute,
					Rate: 20_000_000, Private: true},
				Network: multicast.Network{Interface: "eth0", Prefix: r.bed.Sender.Address},
				Report: func(_ context.Context, x multicast.RelayReport) (multicast.RelayCommand, error) {
					reports <- x
					return multicast.RelayCommand{}, nil
				},
			})
		})
	}()
	if first := <-reports; len(first.Sources) != 0 {
		t.Errorf("it reports %+v, want no source", first)
	}
	err = r.bed.Sender.Do(func() error {
		b, err := os.ReadFile("/proc/thread-self/net/tcp")
		if err == nil && bytes.Contains(b, []byte(" 0A ")) {
			err = fmt.Errorf("it listens:\n%s", b)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	cancel()
	<-ended
}
