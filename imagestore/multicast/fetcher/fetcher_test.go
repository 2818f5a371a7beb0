package fetcher

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
	"griddle/imagestore/multicast"
	"griddle/imagestore/multicast/parity"
	"griddle/imagestore/multicast/receiver"
	"griddle/imagestore/multicast/sourcetest"
)

// smallLayout has blocks of 512 bytes.
var smallLayout = multicast.Layout{Code: parity.Name, K: 8, R: 8, Symbol: 64}

// A source that hangs is left for the next one, for all that a Fetcher asks: nobody else watches it
// (fetch.StallDetector).
func TestFetcherSourceHangs(t *testing.T) {
	data := sourcetest.Random(20000)
	none := func(context.Context, multicast.Ask) (multicast.Answer, error) {
		return multicast.Answer{Why: "nobody else wants it"}, nil
	}
	hangs := func(ctx context.Context, _ multicast.Ask) (multicast.Answer, error) {
		<-ctx.Done()
		return multicast.Answer{}, ctx.Err()
	}
	for _, c := range []struct {
		name    string
		sources []blob.Reader
		ask     func(context.Context, multicast.Ask) (multicast.Answer, error)
		want    string // of the error
	}{
		{"alone", []blob.Reader{sourcetest.Hung{}, sourcetest.Memory(data)}, nil, ""},
		{"when it is asked how long the encoding is",
			[]blob.Reader{sourcetest.Hung{}, sourcetest.Memory(data)}, none, ""},
		{"both", []blob.Reader{sourcetest.Hung{}, sourcetest.Hung{}}, none, "nothing came for"},
		{"in the middle", []blob.Reader{sourcetest.Stuck(data)}, none, "nothing came for"},
		{"control plane", []blob.Reader{sourcetest.Memory(data)}, hangs, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := New(Options{HTTP: c.sources, Ask: c.ask, Min: 1,
					Networks: func() []multicast.Network { return nil }})
				var b []byte
				rc, err := f.Open(t.Context(), blob.Sum(data), 0, -1)
				if err == nil {
					time.Sleep(time.Hour) // whoever opened it has other things to do first
					b, err = io.ReadAll(rc)
					rc.Close()
				}
				if c.want == "" && (err != nil || !bytes.Equal(b, data)) || c.want != "" && (err == nil ||
					!strings.Contains(err.Error(), c.want)) {
					t.Errorf("%d bytes, %v; want %q", len(b), err, c.want)
				}
			})
		})
	}
}

// The list of hashes comes from a neighbour first, who may hang, or lie.
func TestHashesFromTheNextSource(t *testing.T) {
	data := sourcetest.Random(5 * 512)
	list, err := multicast.HashBlocks(bytes.NewReader(data), smallLayout)
	if err != nil {
		t.Fatal(err)
	}
	s := multicast.Session{Layout: smallLayout, Size: int64(len(data)), Encoding: blob.Sum(data),
		Hashes: blob.Sum(list)}
	for _, c := range []struct {
		name  string
		first blob.Reader
	}{
		{"hangs", sourcetest.Hung{}},
		{"hangs after its answer", sourcetest.Stuck(sourcetest.Memory(list))},
		{"lies", sourcetest.Memory(make([]byte, len(list)))},
		{"says little", sourcetest.Memory(list[:40])},
		{"says too much", sourcetest.Memory(make([]byte, 1<<20))},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got, err := multicast.FetchHashes(t.Context(), []blob.Reader{c.first, sourcetest.Memory(list)}, s)
				if err != nil || !bytes.Equal(got, list) {
					t.Errorf("fetchHashes() = %d bytes, %v", len(got), err)
				}
				if _, err := multicast.FetchHashes(t.Context(), []blob.Reader{c.first, c.first}, s); err == nil {
					t.Error("there is a list, and nobody has it")
				}
			})
		})
	}
	if _, err := multicast.FetchHashes(t.Context(), nil, s); err == nil {
		t.Error("a list from nobody")
	}
}

// An order to relay goes to a wired network of this machine; one without any declines.
func TestFetcherRelays(t *testing.T) {
	data := sourcetest.Random(20000)
	wlan := multicast.Network{Interface: "wlan0", Prefix: netip.MustParsePrefix("10.0.0.2/24"), Wireless: true}
	wire := multicast.Network{Interface: "eth0", Prefix: netip.MustParsePrefix("10.1.0.2/24")}
	for _, c := range []struct {
		name string
		nets []multicast.Network
		want string // the interface
	}{
		{"no network", nil, ""},
		{"a wireless one", []multicast.Network{wlan}, ""},
		{"both", []multicast.Network{wlan, wire}, "eth0"},
		{"a wired one", []multicast.Network{wire}, "eth0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			on := ""
			var last receiver.Progress
			f := New(Options{HTTP: []blob.Reader{sourcetest.Memory(data)}, Min: 1,
				Networks: func() []multicast.Network { return c.nets },
				Ask: func(context.Context, multicast.Ask) (multicast.Answer, error) {
					return multicast.Answer{Relay: &multicast.RelayOrder{}}, nil
				},
				Relay: func(_ context.Context, _ multicast.RelayOrder, n multicast.Network) (io.ReadCloser, error) {
					on = n.Interface
					return nil, errors.New("no room")
				},
				Tell: func(p receiver.Progress) { last = p },
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
