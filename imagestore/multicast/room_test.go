package multicast_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"griddle/imagestore/blob"
	"griddle/imagestore/multicast"
	"griddle/imagestore/multicast/receiver"
	"griddle/imagestore/multicast/sender"
	"griddle/imagestore/multicast/testbed"
)

// memory is a source of one blob, and counts what it gives.
type memory struct {
	b     []byte
	given atomic.Int64
	away  atomic.Bool // it cannot be reached
}

func (m *memory) Open(_ context.Context, _ blob.Digest, off, n int64) (io.ReadCloser, error) {
	if m.away.Load() {
		return nil, errors.New("no route to host")
	}
	if off > int64(len(m.b)) {
		return nil, blob.ErrRange
	}
	return io.NopCloser(&countReader{m, bytes.NewReader(m.b[off:])}), nil
}

func (m *memory) Stat(context.Context, blob.Digest) (int64, error) { return int64(len(m.b)), nil }

type countReader struct {
	m *memory
	r io.Reader
}

func (c *countReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p[:min(len(p), 64<<10)])
	c.m.given.Add(int64(n))
	return n, err
}

// room is a test bed with a sender and an encoding.
type room struct {
	t      *testing.T
	bed    *testbed.Bed
	data   []byte
	hashes multicast.Hashes
	info   multicast.Session
	secret multicast.Key
	sender *sender.Sender
	ended  chan error
	http   *memory
	group  netip.AddrPort
	handed atomic.Uint32
	from   *testbed.Host // where the sender is
}

func content(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

func newRoom(t *testing.T, receivers, size int) *room {
	t.Helper()
	bed, err := testbed.Open(t.Context(), testbed.Options{Receivers: receivers})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := bed.Close(); err != nil {
			t.Error(err)
		}
	})
	r := &room{t: t, bed: bed, data: content(size), http: &memory{},
		group: netip.MustParseAddrPort("239.255.7.7:7469"), ended: make(chan error, 4), from: bed.Sender}
	r.http.b = r.data
	if r.hashes, err = multicast.HashBlocks(bytes.NewReader(r.data), multicast.DefaultLayout()); err != nil {
		t.Fatal(err)
	}
	return r
}

// another is a room in the same bed.
func (r *room) another(t *testing.T, data []byte, group netip.AddrPort) *room {
	t.Helper()
	o := &room{t: t, bed: r.bed, data: data, http: &memory{b: data}, group: group, ended: make(chan error, 4),
		from: r.bed.Sender}
	var err error
	if o.hashes, err = multicast.HashBlocks(bytes.NewReader(data), multicast.DefaultLayout()); err != nil {
		t.Fatal(err)
	}
	return o
}

// send starts a sender, which replaces the one before.
func (r *room) send(o sender.Options) {
	r.t.Helper()
	r.secret = multicast.NewSecret()
	id := multicast.NewID()
	err := r.from.Do(func() error {
		ifi, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		o.ID, o.Secret, o.Layout, o.Size, o.Encoding = id, r.secret, multicast.DefaultLayout(), int64(len(r.data)),
			blob.Digest("sha256:"+fmt.Sprintf("%x", sha256.Sum256(r.data)))
		o.Source, o.Group, o.Interface, o.Address = bytes.NewReader(r.data), r.group, ifi, r.from.Address.Addr()
		if o.Budget == nil {
			o.Budget = multicast.NewBudget(25_000_000)
		}
		o.Log = slog.New(slog.NewTextHandler(testWriter{r.t}, nil))
		r.sender, err = sender.New(o)
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	key, err := multicast.GroupKey(r.secret, id)
	if err != nil {
		r.t.Fatal(err)
	}
	r.info = multicast.Session{ID: id, Encoding: o.Encoding, Size: o.Size, Layout: o.Layout,
		Hashes: blob.Sum(r.hashes), Group: r.group, Sender: r.sender.Address(), Key: key}
	s := r.sender
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.ended <- s.Run(ctx)
	}()
	r.t.Cleanup(func() { stop(); <-done })
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Logf("%s", bytes.TrimSpace(p))
	return len(p), nil
}

// invite is the session as one more receiver gets it.
func (r *room) invite() multicast.Session {
	r.t.Helper()
	s := r.info
	s.Receiver = uint16(r.handed.Add(1))
	var err error
	if s.ReceiverKey, err = multicast.ReceiverKey(r.secret, s.ID, s.Receiver); err != nil {
		r.t.Fatal(err)
	}
	return s
}

// got is what became of one receiver.
type got struct {
	outcome receiver.Outcome
	err     error
	data    []byte
	p       receiver.Progress
	took    time.Duration
}

// receive joins host's receiver, reads all of it, and lets HTTP bring what the session did not.
func (r *room) receive(h *testbed.Host, o receiver.Options) (g got) {
	begin := time.Now()
	s := r.invite()
	o.Encoding, o.Size = s.Encoding, s.Size
	if o.HTTP == nil {
		o.HTTP = []blob.Reader{r.http}
	}
	d, err := receiver.New(o)
	if err != nil {
		return got{err: err}
	}
	defer d.Close()
	ctx, cancel := context.WithTimeout(r.t.Context(), 4*time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() {
		// Sockets stay in the namespace that they were opened in; Join opens its own at once.
		g.err = h.Do(func() error {
			ifi, err := net.InterfaceByName("eth0")
			if err != nil {
				return err
			}
			g.outcome, err = d.Join(ctx, s, r.hashes, ifi)
			return err
		})
		if g.err == nil && g.outcome != receiver.Complete {
			g.err = d.Fill(ctx, nil)
		}
		d.End(g.err)
	})
	g.data, err = io.ReadAll(d)
	wg.Wait()
	if g.err == nil {
		g.err = err
	}
	g.p, g.took = d.Progress(), time.Since(begin)
	return g
}

// all has every host receive, and checks that each has every byte.
func (r *room) all(hosts []*testbed.Host, o receiver.Options) []got {
	r.t.Helper()
	out := make([]got, len(hosts))
	var wg sync.WaitGroup
	for i, h := range hosts {
		wg.Go(func() { out[i] = r.receive(h, o) })
	}
	wg.Wait()
	for i, g := range out {
		r.check(hosts[i].Name, g)
	}
	return out
}

func (r *room) check(name string, g got) {
	r.t.Helper()
	r.t.Logf("%s: %v after %v: %d by multicast, %d of them parity, %d by HTTP", name, g.outcome,
		g.took.Round(time.Millisecond), g.p.Multicast, g.p.Repair, g.p.HTTP)
	if g.err != nil {
		r.t.Errorf("%s: %v", name, g.err)
	}
	if !bytes.Equal(g.data, r.data) {
		r.t.Errorf("%s got %d bytes, and not the %d that were sent", name, len(g.data), len(r.data))
	}
}

func TestRoom(t *testing.T) {
	for _, c := range []struct {
		name  string
		wire  testbed.Wire
		bytes float64 // what the sender may send at most, in times of the encoding
	}{
		{"no loss", testbed.Wire{}, 1.10},
		{"one percent", testbed.Wire{Loss: 0.01}, 1.15},
		{"five percent", testbed.Wire{Loss: 0.05}, 1.20},
		{"twenty percent", testbed.Wire{Loss: 0.20}, 1.60},
		{"bursts", testbed.Wire{Burst: 60, Every: 4000}, 1.20},
		{"disorder and repetition", testbed.Wire{Jitter: 3 * time.Millisecond, Duplicate: 0.05}, 1.20},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRoom(t, 3, 12<<20+777)
			for _, h := range r.bed.Receivers {
				if err := h.Wire(t.Context(), c.wire); err != nil {
					t.Fatal(err)
				}
			}
			r.send(sender.Options{Machines: 3})
			before, err := r.bed.Sender.Sent()
			if err != nil {
				t.Fatal(err)
			}
			for i, g := range r.all(r.bed.Receivers, receiver.Options{}) {
				if g.outcome != receiver.Complete || g.p.HTTP > 0 {
					t.Errorf("receiver %d: %v, %d bytes by HTTP", i+1, g.outcome, g.p.HTTP)
				}
			}
			after, err := r.bed.Sender.Sent()
			if err != nil {
				t.Fatal(err)
			}
			ratio := float64(after-before) / float64(len(r.data))
			t.Logf("the sender sent %.3f times the encoding", ratio)
			if ratio > c.bytes {
				t.Errorf("the sender sent %.3f times the encoding, more than %.2f", ratio, c.bytes)
			}
			if err := <-r.ended; err != nil {
				t.Error(err)
			}
		})
	}
}
