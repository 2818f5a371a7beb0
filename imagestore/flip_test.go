package imagestore_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"griddle/imagestore/blob"
	"griddle/imagestore/fetch"
	"griddle/imagestore/imagetest"
	"griddle/imagestore/remote"
)

// TestBitAtRest flips bits of every blob of an image, one at a time. Verify names the blob, no byte that is not right
// can be read, and the catalog says so too where it is one of its own that is damaged.
func TestBitAtRest(t *testing.T) {
	f := newFixture(t)
	parent, raw := imagetest.Bytes(1, 3000), imagetest.Bytes(2, 4000)
	f.publish("web:1@amd64", way{"", parent})
	l := f.publish("web:2@amd64", way{"", raw}, way{"web:1@amd64", imagetest.Bytes(3, 9000)})
	p, err := f.s.Plan(t.Context(), imagetest.Ref(t, "web:2@amd64"))
	if err != nil {
		t.Fatal(err)
	}
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	tried := 0
	l.EachBlob(func(d blob.Digest) {
		good, err := os.ReadFile(f.blobFile(d))
		if err != nil {
			t.Fatal(err)
		}
		for i := range 3 * thorough {
			at := r.IntN(8 * len(good))
			switch i {
			case 0:
				at = 0
			case 1:
				at = 8*len(good) - 1
			}
			b := bytes.Clone(good)
			b[at/8] ^= 1 << (at % 8)
			if err := os.WriteFile(f.blobFile(d), b, 0o644); err != nil {
				t.Fatal(err)
			}
			tried++
			v, err := f.s.Verify(t.Context(), l.Parsed(), nil)
			if err != nil || v.OK || !strings.Contains(strings.Join(v.Problems, "\n"), string(d)) {
				t.Errorf("seed %d, bit %d of %s: Verify = %+v, %v, want a problem that names the blob",
					seed, at, d, v, err)
			}
			if got, err := readStream(f, p, fetch.Options{}, f.s.Blobs); err == nil && !bytes.Equal(got, raw) ||
				!bytes.HasPrefix(raw, got) {
				t.Errorf("seed %d, bit %d of %s: %d other bytes came, %v", seed, at, d, len(got), err)
			}
		}
		if err := os.WriteFile(f.blobFile(d), good, 0o644); err != nil {
			t.Fatal(err)
		}
	})
	if v, err := f.s.Verify(t.Context(), l.Parsed(), nil); err != nil || !v.OK {
		t.Errorf("with every bit in its place again: %+v, %v", v, err)
	}
	t.Logf("%d bits", tried)
}

// flipping is a proxy that changes bits of what passes.
type flipping struct {
	http.RoundTripper
	n     atomic.Int64
	every int64 // how many bodies pass until one is changed
	seed  uint64
}

func (p *flipping) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := p.RoundTripper.RoundTrip(r)
	if err != nil || res.ContentLength <= 0 {
		return res, err
	}
	if n := p.n.Add(1); n%p.every == 0 {
		at := rand.New(rand.NewPCG(p.seed, uint64(n))).Int64N(8 * res.ContentLength)
		res.Body = &flippedBody{ReadCloser: res.Body, at: at}
	}
	return res, nil
}

type flippedBody struct {
	io.ReadCloser
	at int64 // bits until the one that is flipped
}

func (b *flippedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.at >= 0 && b.at < int64(8*n) {
		p[b.at/8] ^= 1 << (b.at % 8)
	}
	b.at -= int64(8 * n)
	return n, err
}

// TestBitInFlight reads an image through a proxy that flips a bit now and then, and then always. The reader asks again
// and gets what was published; where nothing else comes it gives up, and in no case does a wrong byte come out.
func TestBitInFlight(t *testing.T) {
	f, raw, _, p := threeFrames(t)
	server := httptest.NewServer(remote.Handler(f.s, nil))
	defer server.Close()
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	seed := rand.Uint64()
	for _, every := range []int64{4, 3, 2, 1} {
		t.Run(fmt.Sprintf("every %d", every), func(t *testing.T) {
			flip := &flipping{RoundTripper: http.DefaultTransport, every: every, seed: seed}
			rp := httputil.NewSingleHostReverseProxy(u)
			rp.Transport = flip
			proxy := httptest.NewServer(rp)
			defer proxy.Close()
			for range 3 {
				retries := 0
				got, err := readStream(f, p, fetch.Options{Retry: func(error, int) { retries++ }},
					&blob.HTTP{Base: proxy.URL, Client: proxy.Client()})
				switch {
				case !bytes.HasPrefix(raw, got):
					t.Errorf("seed %d: a byte came out that was not published", seed)
				case every > 1 && (err != nil || !bytes.Equal(got, raw)):
					t.Errorf("seed %d: %d bytes after %d retries, %v, want all", seed, len(got), retries, err)
				case every > 1 && retries == 0:
					t.Errorf("seed %d: nothing was flipped", seed)
				case every == 1 && !errors.Is(err, fetch.ErrCorrupt):
					t.Errorf("seed %d: with every answer changed: %v, want %v", seed, err, fetch.ErrCorrupt)
				}
			}
		})
	}
}
