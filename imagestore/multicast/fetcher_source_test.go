package multicast

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"griddle/imagestore/blob"
)

// hung is a source that was reached and says nothing, ever.
type hung struct{}

func (hung) Open(ctx context.Context, _ blob.Digest, _, _ int64) (io.ReadCloser, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (hung) Stat(ctx context.Context, _ blob.Digest) (int64, error) {
	<-ctx.Done()
	return 0, ctx.Err()
}

// stuckBody answers and then says nothing.
type stuckBody struct{ inMemory }

func (s stuckBody) Open(ctx context.Context, d blob.Digest, off, n int64) (io.ReadCloser, error) {
	r, w := io.Pipe()
	context.AfterFunc(ctx, func() { w.CloseWithError(ctx.Err()) })
	return r, nil
}

// A source that hangs is left for the next one, for all that a Fetcher asks: nobody else watches it (imagestore.Patient).
func TestFetcherSourceHangs(t *testing.T) {
	data := random(20000)
	none := func(context.Context, Ask) (Answer, error) { return Answer{Why: "nobody else wants it"}, nil }
	for _, c := range []struct {
		name    string
		sources []blob.Reader
		ask     func(context.Context, Ask) (Answer, error)
		want    string // of the error
	}{
		{"alone", []blob.Reader{hung{}, inMemory(data)}, nil, ""},
		{"when it is asked how long the encoding is", []blob.Reader{hung{}, inMemory(data)}, none, ""},
		{"both", []blob.Reader{hung{}, hung{}}, none, "nothing came for"},
		{"in the middle", []blob.Reader{stuckBody{data}}, none, "nothing came for"},
		{"control plane", []blob.Reader{inMemory(data)}, func(ctx context.Context, _ Ask) (Answer, error) {
			<-ctx.Done()
			return Answer{}, ctx.Err()
		}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := NewFetcher(FetcherOptions{HTTP: c.sources, Ask: c.ask, Min: 1, Networks: func() []Network { return nil }})
				var b []byte
				rc, err := f.Open(t.Context(), blob.Sum(data), 0, -1)
				if err == nil {
					time.Sleep(time.Hour) // whoever opened it has other things to do first
					b, err = io.ReadAll(rc)
					rc.Close()
				}
				if c.want == "" && (err != nil || !bytes.Equal(b, data)) || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
					t.Errorf("%d bytes, %v; want %q", len(b), err, c.want)
				}
			})
		})
	}
}

// The list of hashes comes from a neighbour first, who may hang, or lie.
func TestHashesFromTheNextSource(t *testing.T) {
	data := random(5 * 512)
	list, err := HashBlocks(bytes.NewReader(data), smallLayout)
	if err != nil {
		t.Fatal(err)
	}
	s := Session{Layout: smallLayout, Size: int64(len(data)), Encoding: blob.Sum(data), Hashes: blob.Sum(list)}
	for _, c := range []struct {
		name  string
		first blob.Reader
	}{
		{"hangs", hung{}},
		{"hangs after its answer", stuckBody{inMemory(list)}},
		{"lies", inMemory(make([]byte, len(list)))},
		{"says little", inMemory(list[:40])},
		{"says too much", inMemory(make([]byte, 1<<20))},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got, err := FetchHashes(t.Context(), []blob.Reader{c.first, inMemory(list)}, s)
				if err != nil || !bytes.Equal(got, list) {
					t.Errorf("fetchHashes() = %d bytes, %v", len(got), err)
				}
				if _, err := FetchHashes(t.Context(), []blob.Reader{c.first, c.first}, s); err == nil {
					t.Error("there is a list, and nobody has it")
				}
			})
		})
	}
	if _, err := FetchHashes(t.Context(), nil, s); err == nil {
		t.Error("a list from nobody")
	}
}

// An order to relay goes to a wired network of this machine; one without any declines.
func TestFetcherRelays(t *testing.T) {
	data := random(20000)
	wlan := Network{Interface: "wlan0", Prefix: netip.MustParsePrefix("10.0.0.2/24"), Wireless: true}
	wire := Network{Interface: "eth0", Prefix: netip.MustParsePrefix("10.1.0.2/24")}
	for _, c := range []struct {
		name string
		nets []Network
		want string // the interface
	}{
		{"no network", nil, ""},
		{"a wireless one", []Network{wlan}, ""},
		{"both", []Network{wlan, wire}, "eth0"},
		{"a wired one", []Network{wire}, "eth0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			on := ""
			var last Progress
			f := NewFetcher(FetcherOptions{HTTP: []blob.Reader{inMemory(data)}, Min: 1, Networks: func() []Network { return c.nets },
				Ask: func(context.Context, Ask) (Answer, error) { return Answer{Relay: &RelayOrder{}}, nil },
				Relay: func(_ context.Context, _ RelayOrder, n Network) (io.ReadCloser, error) {
					on = n.Interface
					return nil, errors.New("no room")
				},
				Tell: func(p Progress) { last = p },
			})
			rc, err := f.Open(t.Context(), blob.Sum(data), 0, -1)
			if err != nil {
				t.Fatal(err)
			}
			defer rc.Close()
			if b, err := io.ReadAll(rc); err != nil || !bytes.Equal(b, data) {
				t.Errorf("%d bytes, %v", len(b), err)
			}
			if on != c.want || !strings.Contains(last.Why, "cannot relay") {
				t.Errorf("it relayed on %q and said %q, want %q", on, last.Why, c.want)
			}
		})
	}
}
