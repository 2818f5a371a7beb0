package quota

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"sync"
	"testing"
)

func TestTake(t *testing.T) {
	q := New(Options{What: "streams", Total: Amount{6, 600}, Each: Amount{2, 250}, Reserve: Amount{2, 200}})
	take := func(key string, known bool, n int64, want bool) *Hold {
		t.Helper()
		h, err := q.Take(key, known, n)
		if (err == nil) != want || err != nil && !errors.Is(err, ErrFull) {
			t.Fatalf("Take(%s, %v, %d) = %v, want success %v; held %v", key, known, n, err, want, q.Held())
		}
		return h
	}
	a1, a2 := take("a", false, 10, true), take("a", false, 10, true)
	take("a", false, 0, false) // its share of slots
	b := take("b", false, 200, true)
	take("b", false, 51, false) // its share of bytes
	c := take("c", false, 180, true)
	take("d", false, 0, false) // strangers have all that is not reserved
	k := take("k", true, 190, true)
	if err := k.Grow(61); !errors.Is(err, ErrFull) { // total bytes, and its share
		t.Fatalf("Grow over the total: %v", err)
	}
	if err := c.Grow(1); !errors.Is(err, ErrFull) {
		t.Fatalf("a stranger grows into the reserve: %v", err)
	}
	take("l", true, 10, true)
	take("m", true, 0, false) // all slots
	if want := (Amount{6, 600}); q.Held() != want {
		t.Errorf("held %v, want %v", q.Held(), want)
	}
	for _, h := range []*Hold{a1, a2, b, c, k} {
		h.Release()
		h.Release()
	}
	if want := (Amount{1, 10}); q.Held() != want || len(q.clients) != 1 {
		t.Errorf("after release held %v by %v, want %v", q.Held(), q.clients, want)
	}
	take("d", false, 250, true)
}

func TestHugeAmountsDoNotWrap(t *testing.T) {
	q := New(Options{What: "bodies", Total: Amount{0, 100}})
	h, err := q.Take("a", false, 60)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Grow(math.MaxInt64); !errors.Is(err, ErrFull) {
		t.Errorf("Grow(MaxInt64) = %v", err)
	}
	if _, err := q.Take("b", false, math.MaxInt64); !errors.Is(err, ErrFull) {
		t.Errorf("Take(MaxInt64) = %v", err)
	}
	if _, err := New(Options{}).Take("a", false, math.MaxInt64); err != nil {
		t.Errorf("without limits: %v", err)
	}
}

func TestManyAtOnce(t *testing.T) {
	q := New(Options{What: "streams", Total: Amount{8, 1 << 20}, Each: Amount{3, 0}, Reserve: Amount{2, 0}})
	var wg sync.WaitGroup
	for n := range 32 {
		wg.Go(func() {
			for range 500 {
				h, err := q.Take(fmt.Sprint(n%5), n%4 == 0, 1000)
				if err != nil {
					continue
				}
				_ = h.Grow(int64(n))
				if held := q.Held(); held.Slots > 8 || held.Bytes > 1<<20 {
					t.Errorf("held %v", held)
				}
				h.Release()
			}
		})
	}
	wg.Wait()
	if q.Held() != (Amount{}) || len(q.clients) != 0 || q.strangers != (Amount{}) {
		t.Errorf("after all ended: %v by %v", q.Held(), q.clients)
	}
}

func TestKey(t *testing.T) {
	for in, want := range map[string]string{
		"10.0.0.7:4711":             "10.0.0.7",
		"10.0.0.7":                  "10.0.0.7",
		"[::ffff:10.0.0.7]:80":      "10.0.0.7",
		"[2001:db8:1:2:3:4:5:6]:80": "2001:db8:1:2::/64",
		"[fe80::1%eth0]:80":         "fe80::/64",
		"@":                         "@",
		"":                          "",
	} {
		if got := Key(in); got != want {
			t.Errorf("Key(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzKey(f *testing.F) {
	f.Add("10.0.0.7:4711")
	f.Add("[fe80::1%eth0]:80")
	f.Fuzz(func(t *testing.T, s string) {
		k := Key(s)
		if a, err := netip.ParseAddrPort(s); err == nil && k != Key(a.Addr().String()) {
			t.Errorf("Key(%q) = %q, with and without its port", s, k)
		}
	})
}
