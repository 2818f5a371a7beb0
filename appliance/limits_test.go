package appliance

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"griddle/appliance/config"
	"griddle/appliance/quota"
	"griddle/imagestore/document"
	"griddle/imagestore/encoding"
	"griddle/imagestore/remote"
)

// TestBudgets has strangers at many addresses take all that they get of each resource: one address has its share, all
// together leave the reserve, and a known client gets as much as it needs.
func TestBudgets(t *testing.T) {
	l := newLimits()
	take := map[string]func(client string, known bool) (remote.Held, error){
		"connections": func(c string, k bool) (remote.Held, error) { return l.conns.Take(c, k, 0) },
		"requests":    func(c string, k bool) (remote.Held, error) { return l.turns.Take(c, k, 0) },
	}
	most := map[remote.Work]int64{remote.Streams: 20 << 20, remote.Lists: 1 << 40, remote.Bodies: 2 << 20}
	for _, w := range []remote.Work{remote.Streams, remote.Lists, remote.Bodies, remote.Leases} {
		take[string(w)] = func(c string, k bool) (remote.Held, error) { return l.admit(w, c, k, most[w]) }
	}
	for name, take := range take {
		var held []remote.Held
		for a := range 1000 {
			before := len(held)
			for range 10_000 {
				h, err := take(fmt.Sprintf("10.0.%d.%d", a/250, a%250), false)
				if err != nil {
					if !errors.Is(err, quota.ErrFull) {
						t.Fatalf("%s: %v", name, err)
					}
					break
				}
				held = append(held, h)
			}
			if n := len(held) - before; n >= 10_000 {
				t.Fatalf("%s: one address has %d", name, n)
			}
		}
		if _, err := take("10.1.0.1", false); err == nil {
			t.Errorf("%s: a stranger got more than all that strangers get", name)
		}
		k, err := take("10.1.0.2", true)
		if err != nil {
			t.Errorf("%s: a machine with a job got none: %v", name, err)
		} else {
			k.Release()
		}
		if len(held) > 0 {
			held[0].Release()
			h, err := take("10.1.0.3", false)
			if err != nil {
				t.Errorf("%s: what was given back is not given again: %v", name, err)
			} else {
				held[0] = h
			}
		}
		for _, h := range held {
			h.Release()
		}
	}
	if _, err := l.admit("something else", "10.0.0.1", true, 1); err == nil {
		t.Error("work without a budget was let through")
	}
	if h, err := l.admit(remote.Streams, "10.0.0.1", false, streamBytes()); err != nil {
		t.Errorf("the largest stream there can be does not fit: %v", err)
	} else {
		h.Release()
	}
}

// streamBytes is what a stream with the longest frames takes, of bytes that do not compress.
func streamBytes() int64 { return 3*encoding.MaxFramePieces*document.PieceSize + 2<<20 }

// TestUnfinishedBodies has strangers begin requests and not end them: the bytes that they can announce together are
// bounded, and somebody who is known is served meanwhile.
func TestUnfinishedBodies(t *testing.T) {
	r := newRunning(t, config.ImagesPublic)
	mux := http.NewServeMux()
	mux.Handle("/", r.images(func(req *http.Request) (remote.Caller, error) {
		if req.Header.Get("Authorization") != "" {
			return remote.Caller{Role: remote.Publisher}, nil
		}
		return remote.Caller{}, nil
	}))
	srv := httptest.NewServer(mux)
	defer srv.Close()
	var refused int
	var held []net.Conn
	for i := range 60 {
		c, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(i+1))}}).Dial("tcp",
			srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, c)
		fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n{", remote.LeasesPath, 1<<20-1)
	}
	for l := r.limits.work[remote.Bodies]; l.Held().Bytes < maxBodies-reservedBodies-4<<20; {
		time.Sleep(time.Millisecond)
	}
	for known, want := range map[string]int{"": http.StatusServiceUnavailable, "Bearer x": http.StatusOK} {
		req, err := http.NewRequest(http.MethodPost, srv.URL+remote.LeasesPath,
			strings.NewReader(`{"refs":["web:1@amd64"],"seconds":60}`+strings.Repeat(" ", 1<<20-100)))
		if err != nil {
			t.Fatal(err)
		}
		if known != "" {
			req.Header.Set("Authorization", known)
		}
		client := http.Client{Transport: &http.Transport{
			DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 3, 1)}}).DialContext}}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("a lease for %q = %d, want %d", known, resp.StatusCode, want)
		}
	}
	for _, c := range held {
		c.(*net.TCPConn).CloseWrite()
		if line, _ := bufio.NewReader(c).ReadString('\n'); strings.Contains(line, "503") {
			refused++
		}
		c.Close()
	}
	if refused < 40 {
		t.Errorf("%d of 60 unfinished requests were refused, want most", refused)
	}
}
