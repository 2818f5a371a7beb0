package api

import (
	"bufio"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"griddle/appliance/fleet"
	"griddle/appliance/job"
)

// listen opens the stream of events, and returns a function that reads its next message without comments.
func listen(t *testing.T, s *site, last string) (next func() map[string]string, hangUp func()) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+adminToken)
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	res, err := (&http.Client{Transport: &http.Transport{TLSClientConfig: s.tls, ForceAttemptHTTP2: true}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if kind := res.Header.Get("Content-Type"); res.StatusCode != 200 || kind != "text/event-stream" {
		t.Fatalf("GET /v1/events = %d %s", res.StatusCode, kind)
	}
	lines := bufio.NewScanner(res.Body)
	return func() map[string]string {
			t.Helper()
			out := map[string]string{}
			for lines.Scan() {
				if lines.Text() == "" && len(out) > 0 {
					return out
				}
				if name, value, ok := strings.Cut(lines.Text(), ": "); ok && name != "" {
					out[name] = value
				}
			}
			t.Fatalf("the stream ended: %v", lines.Err())
			return nil
		}, func() {
			stop()
			res.Body.Close()
		}
}

// TestEvents: a listener gets what happens to all machines, and after a cut what it missed.
func TestEvents(t *testing.T) {
	s := newSite(t)
	order := fleet.Order{Image: job.Image{Ref: "web:1@amd64"}, Disk: "largest", Hostname: "web1"}
	if _, _, err := s.fleet.Install(t.Context(), mac, order); err != nil {
		t.Fatal(err)
	}
	next, hangUp := listen(t, s, "")
	first := next()
	if first["id"] != "1" || first["retry"] == "" {
		t.Errorf("the stream begins with %v, want the number of the last entry", first)
	}
	if _, err := s.fleet.Cancel(t.Context(), mac); err != nil {
		t.Fatal(err)
	}
	got := next()
	if got["id"] != "2" || got["event"] != "entry" || !strings.Contains(got["data"], `"machine":"web1"`) ||
		!strings.Contains(got["data"], `"state":"cancelled"`) {
		t.Errorf("after the cancelling the stream has %v", got)
	}
	hangUp()
	order.Hostname = "web2"
	if _, _, err := s.fleet.Install(t.Context(), "52:54:00:00:00:0b", order); err != nil {
		t.Fatal(err)
	}
	next, hangUp = listen(t, s, got["id"])
	defer hangUp()
	if got := next(); got["id"] != "2" {
		t.Errorf("the second stream begins with %v", got)
	}
	if got := next(); got["id"] != "3" || !strings.Contains(got["data"], `"machine":"web2"`) {
		t.Errorf("the second stream has %v, want what was missed", got)
	}
	later, hangUp := listen(t, s, "99") // from before the state was restored
	defer hangUp()
	if got := later(); got["id"] != "3" {
		t.Errorf("a stream after an entry that does not exist begins with %v", got)
	}
}

// TestEventsAreBounded: an address has so many streams and no more, and gets another when one ends.
func TestEventsAreBounded(t *testing.T) {
	s := newSite(t)
	var last func()
	for range eventQuota.Each.Slots {
		next, hangUp := listen(t, s, "")
		next()
		last = hangUp
		defer hangUp()
	}
	refusals := 0
	for {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/v1/events", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+adminToken)
		res, err := s.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode == 200 && refusals > 0 {
			return
		}
		if res.StatusCode != http.StatusServiceUnavailable {
			t.Fatalf("one more stream = %d", res.StatusCode)
		}
		if refusals++; refusals == 1 {
			last()
		}
	}
}

// TestEventsEnd: a stream shows that it lives, and ends when its caller may no longer have it.
func TestEventsEnd(t *testing.T) {
	s, beats := newSite(t), 0
	s.handler.beat = time.Millisecond
	ctx := context.WithValue(t.Context(), callerKey{}, caller{again: func() error {
		if beats++; beats > 2 {
			return errors.New("the token was deleted")
		}
		return nil
	}})
	rec := httptest.NewRecorder()
	s.handler.pour(ctx, rec, 0)
	if got, want := rec.Body.String(), "retry: 2000\nid: 0\n\n:\n\n:\n\n"; got != want {
		t.Errorf("the stream has %q, want %q", got, want)
	}
}
