package multicast_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"griddle/imagestore/blob"
	"griddle/imagestore/multicast"
	"griddle/imagestore/multicast/datagram"
	"griddle/imagestore/multicast/receiver"
	"griddle/imagestore/multicast/relay"
)

// heldRelay is the room's first receiver as one that feeds the others.
type heldRelay struct {
	r     *room
	spool *relay.Spool
	stop  context.CancelFunc
	ended chan error

	mu       sync.Mutex
	reports  []multicast.RelayReport
	heard    chan struct{} // closed with the first report
	commands commander
}

// commander answers the n-th report of a relay, from 0.
type commander func(n int, p multicast.RelayReport) (multicast.RelayCommand, error)

func (r *room) relay(origin blob.Reader, machines int, commands commander) *heldRelay {
	r.t.Helper()
	host := r.bed.Receivers[0]
	secret, id := multicast.NewSecret(), multicast.NewID()
	key, err := multicast.GroupKey(secret, id)
	if err != nil {
		r.t.Fatal(err)
	}
	r.secret = secret
	r.info = multicast.Session{ID: id, Encoding: blob.Sum(r.data), Size: int64(len(r.data)),
		Layout: multicast.DefaultLayout(), Hashes: blob.Sum(r.hashes), Group: r.group, Key: key}
	rl := &heldRelay{r: r, ended: make(chan error, 1), heard: make(chan struct{}), commands: commands}
	ctx, stop := context.WithCancel(context.Background())
	rl.stop = stop
	if rl.spool, err = relay.NewSpool(ctx, r.t.TempDir(), r.info, []blob.Reader{&memory{b: r.hashes}}); err != nil {
		r.t.Fatal(err)
	}
	var filling sync.WaitGroup
	filling.Go(func() { _ = rl.spool.Fill(ctx, []blob.Reader{origin}, nil, nil) })
	go func() {
		// The sockets are opened by Hold itself, and stay in the namespace.
		rl.ended <- host.Do(func() error {
			return rl.spool.Hold(ctx, relay.HoldOptions{
				Order: multicast.RelayOrder{Session: r.info, Secret: secret, Rate: 25_000_000, Machines: machines,
					Gather: time.Minute},
				Network: multicast.Network{Interface: "eth0", Prefix: host.Address},
				Report:  rl.report,
			})
		})
	}()
	r.t.Cleanup(func() { stop(); filling.Wait(); rl.spool.Close() })
	select {
	case <-rl.heard:
	case err := <-rl.ended:
		r.t.Fatalf("the relay ended: %v", err)
	}
	r.info.Sender = rl.reports[0].Sender
	r.info.Sources = rl.reports[0].Sources
	return rl
}

func (rl *heldRelay) report(_ context.Context, p multicast.RelayReport) (multicast.RelayCommand, error) {
	rl.mu.Lock()
	defer rl.mu.Unlock()
	n := len(rl.reports)
	if rl.reports = append(rl.reports, p); n == 0 {
		close(rl.heard)
	}
	if rl.commands != nil {
		return rl.commands(n, p)
	}
	return multicast.RelayCommand{}, nil
}

// A relay whose origin is slower than its network serves neighbours that have nothing else, also when nobody hears
// its reports.
func TestRelayAlone(t *testing.T) {
	r := newRoom(t, 4, 12<<20)
	slow := &trickle{r.http, r.hashes, 8 * time.Millisecond}
	rl := r.relay(slow, 3, func(n int, _ multicast.RelayReport) (multicast.RelayCommand, error) {
		if n > 0 { // the control plane goes away, which must not matter
			return multicast.RelayCommand{}, errors.New("no route to host")
		}
		return multicast.RelayCommand{}, nil
	})
	nothing := []blob.Reader{&memory{}}
	for i, g := range r.all(r.bed.Receivers[1:], receiver.Options{HTTP: nothing}) {
		if g.outcome != receiver.Complete {
			t.Errorf("neighbour %d: %v", i+1, g.outcome)
		}
	}
	if err := <-rl.ended; err != nil {
		t.Errorf("the relay: %v", err)
	}
	if n := r.http.given.Load(); n != int64(len(r.data)) {
		t.Errorf("the origin gave %d bytes for an encoding of %d", n, len(r.data))
	}
	rl.mu.Lock()
	defer rl.mu.Unlock()
	if last := rl.reports[len(rl.reports)-1]; last.Status.State != datagram.Closed || len(last.Sources) != 1 {
		t.Errorf("its last report is %+v", last)
	}
}

// half gives half of an encoding, and then nothing.
type half struct{ *memory }

func (h half) Open(ctx context.Context, d blob.Digest, off, n int64) (io.ReadCloser, error) {
	rc, err := h.memory.Open(ctx, d, off, n)
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(io.LimitReader(rc, max(0, int64(len(h.b))/2-off)), nothing{ctx}), rc}, nil
}

// nothing comes until its context ends.
type nothing struct{ context.Context }

func (n nothing) Read([]byte) (int, error) {
	<-n.Done()
	return 0, n.Err()
}

// A relay that goes away in the middle leaves its neighbours to the origin. So does one that nobody knows any more.
func TestRelayGoesAway(t *testing.T) {
	for _, unknown := range []bool{false, true} {
		t.Run(fmt.Sprintf("unknown=%v", unknown), func(t *testing.T) {
			r := newRoom(t, 2, 12<<20)
			base := r.serve()
			var stop atomic.Pointer[context.CancelFunc]
			rl := r.relay(half{r.http}, 1, func(_ int, p multicast.RelayReport) (multicast.RelayCommand, error) {
				if p.Status.Sent < 4<<20 {
					return multicast.RelayCommand{}, nil
				}
				if unknown {
					return multicast.RelayCommand{}, multicast.ErrNoSession
				}
				(*stop.Load())()
				return multicast.RelayCommand{}, nil
			})
			stop.Store(&rl.stop)
			s := r.invite()
			got := r.fetch(1, errand{HTTP: base, Answers: []multicast.Answer{{Session: &s}, {Why: "no other machine"}}})
			if got.Last.Multicast < 4<<20 || got.Last.HTTP+got.Last.Relay < 4<<20 {
				t.Errorf("ways: %+v", got.Last)
			}
			if err := <-rl.ended; err != nil && !errors.Is(err, context.Canceled) {
				t.Errorf("the relay: %v", err)
			}
		})
	}
}

// A relay's orders come with the answers to its reports.
func TestRelayObeys(t *testing.T) {
	r := newRoom(t, 2, 9<<20)
	hold := time.Duration(0)
	rl := r.relay(r.http, 0, func(n int, _ multicast.RelayReport) (multicast.RelayCommand, error) {
		switch n {
		case 1:
			return multicast.RelayCommand{Start: true, Hold: &hold}, nil // it would gather for a minute
		}
		return multicast.RelayCommand{}, nil
	})
	if g := r.all(r.bed.Receivers[1:], receiver.Options{})[0]; g.outcome != receiver.Complete || g.p.HTTP > 0 {
		t.Errorf("%v, %d bytes by HTTP", g.outcome, g.p.HTTP)
	}
	if err := <-rl.ended; err != nil {
		t.Error(err)
	}
}
