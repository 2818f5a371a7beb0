package webhook

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	standard "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

var secret = bytes.Repeat([]byte{7}, 32)

// source is events that a test adds.
type source struct {
	mu     sync.Mutex
	events []Event
	grown  chan struct{}
}

func (s *source) add(states ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, state := range states {
		s.events = append(s.events, Event{ID: int64(len(s.events)) + 1, Of: "j1", State: state, Type: "job." + state,
			Time: time.Now(), Data: map[string]string{"state": state}})
	}
	if s.grown != nil {
		close(s.grown)
	}
	s.grown = make(chan struct{})
}

// options sends to hooks what the source has.
func (s *source) options(dir string, log io.Writer, hooks ...Hook) Options {
	return Options{Hooks: hooks, Dir: dir, Log: slog.New(slog.NewTextHandler(log, nil)), Now: time.Now,
		Waits: []time.Duration{time.Millisecond},
		Next: func(_ context.Context, after int64) ([]Event, int64, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			rest := slices.Clone(s.events[min(after, int64(len(s.events))):])
			return rest[:min(2, len(rest))], min(after+2, int64(len(s.events))), nil
		},
		Last: func(context.Context) (int64, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			return int64(len(s.events)), nil
		},
		Grown: func() <-chan struct{} {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.grown == nil {
				s.grown = make(chan struct{})
			}
			return s.grown
		}}
}

// receiver is a hook that verifies signatures with the library of Standard Webhooks.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	got    []string // types, in order
	ids    []string // of all attempts
	answer func(n int) int
	tick   chan struct{}
}

func newReceiver(t *testing.T, answer func(n int) int) *receiver {
	t.Helper()
	r := &receiver{answer: answer, tick: make(chan struct{}, 1000)}
	check, err := standard.NewWebhook("whsec_" + base64.StdEncoding.EncodeToString(secret))
	if err != nil {
		t.Fatal(err)
	}
	r.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		if err := check.Verify(body, q.Header); err != nil {
			t.Errorf("the signature is wrong: %v", err)
		}
		if err := check.Verify(append(body, ' '), q.Header); err == nil {
			t.Error("the signature of another body is right")
		}
		var e struct{ Type string }
		if err := json.Unmarshal(body, &e); err != nil {
			t.Error(err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		code := r.answer(len(r.ids))
		r.ids = append(r.ids, q.Header.Get("Webhook-Id"))
		if code < 300 {
			r.got = append(r.got, e.Type)
		}
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(code)
		r.tick <- struct{}{}
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) hook() Hook {
	return Hook{URL: r.URL + "/secret-path", Secret: secret, Private: true,
		Roots: r.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}
}

// wait waits for n more attempts.
func (r *receiver) wait(n int) {
	for range n {
		<-r.tick
	}
}

// last is the type of the last event that it took.
func (r *receiver) last() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.got[len(r.got)-1]
}

// start runs Run, and returns what ends it.
func start(t *testing.T, o Options) (end func()) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Run(ctx, o) }()
	return func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("Run() = %v", err)
		}
	}
}

// known starts with hooks that are new, so that what follows is for them.
func known(t *testing.T, o Options) {
	t.Helper()
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, h := range o.Hooks {
		w := &worker{Options: o, file: filepath.Join(o.Dir, name(h))}
		if err := w.open(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func always(code int) func(int) int { return func(int) int { return code } }

// TestInOrder sends events through a receiver that fails in between, and through a restart: they arrive in order, and
// each attempt has the ID of its event.
func TestInOrder(t *testing.T) {
	s, dir := &source{}, filepath.Join(t.TempDir(), "webhooks")
	s.add("pending") // before the hook was there
	codes := []int{200, 503, 302, 200, 200, 200}
	r := newReceiver(t, func(n int) int { return codes[min(n, len(codes)-1)] })
	o := s.options(dir, io.Discard, r.hook())
	known(t, o)
	end := start(t, o)
	s.add("started", "started", "failed") // the second is no news
	r.wait(4)
	end()
	s.add("started", "done")
	end = start(t, o)
	for last := ""; last != "job.done"; last = r.last() {
		r.wait(1)
	}
	end()
	// An end right after an answer may send its event again.
	want := []string{"job.started", "job.failed", "job.started", "job.done"}
	if got := slices.Compact(r.got); !slices.Equal(got, want) {
		t.Errorf("the hook got %v, want %v", got, want)
	}
	if len(slices.Compact(slices.Clone(r.ids))) != 4 || len(r.ids) < 6 {
		t.Errorf("the attempts have the IDs %v", r.ids)
	}
	if st, err := os.Stat(filepath.Join(dir, name(r.hook()))); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the file of the hook is %v, %v", st, err)
	}
}

// TestCrash forgets what was saved after an attempt, as a crash does: the event is sent again, with the same ID.
func TestCrash(t *testing.T) {
	s, dir := &source{}, t.TempDir()
	r := newReceiver(t, always(200))
	o := s.options(dir, io.Discard, r.hook())
	file := filepath.Join(dir, name(r.hook()))
	known(t, o)
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s.add("done")
	end := start(t, o)
	r.wait(1)
	end()
	if err := os.WriteFile(file, before, 0o600); err != nil {
		t.Fatal(err)
	}
	end = start(t, o)
	r.wait(1)
	end()
	if len(r.ids) != 2 || r.ids[0] != r.ids[1] {
		t.Errorf("the attempts have the IDs %v, want one ID twice", r.ids)
	}
}

// TestChosen sends only the types that a hook wants; 410 gives an event up; one hook does not hold up another.
func TestChosen(t *testing.T) {
	var log bytes.Buffer
	s := &source{}
	some, gone, dead := newReceiver(t, always(204)), newReceiver(t, always(410)), newReceiver(t, always(500))
	chosen := some.hook()
	chosen.Events = []string{"job.done"}
	o := s.options(t.TempDir(), &log, chosen, gone.hook(), dead.hook())
	known(t, o)
	end := start(t, o)
	s.add("pending", "started", "done")
	some.wait(1)
	gone.wait(3)
	dead.wait(3)
	end()
	if !slices.Equal(some.got, []string{"job.done"}) || len(slices.Compact(gone.ids)) != 3 ||
		len(slices.Compact(dead.ids)) != 1 {
		t.Errorf("the hooks got %v, %v, %v", some.got, gone.ids, dead.ids)
	}
	if strings.Contains(log.String(), "secret-path") || !strings.Contains(log.String(), "status 500") {
		t.Errorf("the log has the path of a URL, or not what failed:\n%s", &log)
	}
}

// TestOldEventsAreGivenUp: what is older than a day is tried once.
func TestOldEventsAreGivenUp(t *testing.T) {
	s := &source{}
	r := newReceiver(t, always(500))
	w := &worker{Options: s.options(t.TempDir(), io.Discard), post: newPoster(r.hook()),
		log: slog.New(slog.DiscardHandler)}
	if !w.deliver(t.Context(), Event{ID: 1, Type: "job.done", Time: time.Now().Add(-giveUp - time.Minute)}) ||
		len(r.ids) != 1 {
		t.Errorf("an old event was tried %d times, want once", len(r.ids))
	}
}

// TestPrivateAddresses: without private, no connection is made to this host, by address or by name, and the error says
// what allows it.
func TestPrivateAddresses(t *testing.T) {
	r := newReceiver(t, always(200))
	port := r.URL[strings.LastIndexByte(r.URL, ':'):]
	for _, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0"} {
		h := r.hook()
		h.Private, h.URL = false, "https://"+host+port+"/secret-path"
		err := newPoster(h).post(t.Context(), "msg", time.Now(), []byte("{}"))
		if err == nil || !strings.Contains(err.Error(), "private: true") ||
			strings.Contains(err.Error(), "secret-path") {
			t.Errorf("posting to %s = %v, want a refusal", host, err)
		}
	}
	if len(r.ids) > 0 {
		t.Errorf("the receiver got %v", r.ids)
	}
}

func TestPublic(t *testing.T) {
	for _, a := range []string{"127.0.0.1", "10.0.0.1", "172.16.5.4", "192.168.1.1", "169.254.169.254", "100.64.0.1",
		"0.0.0.0", "224.0.0.1", "255.255.255.255", "240.0.0.1", "198.18.0.1", "::1", "::", "fe80::1", "fc00::1",
		"fd00:ec2::254", "ff02::1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::", "::127.0.0.1"} {
		if public(netip.MustParseAddr(a)) {
			t.Errorf("public(%s) = true", a)
		}
	}
	for _, a := range []string{"93.184.216.34", "2606:2800:220:1::1", "::ffff:93.184.216.34", "172.32.0.1"} {
		if !public(netip.MustParseAddr(a)) {
			t.Errorf("public(%s) = false", a)
		}
	}
}

// FuzzSecret: what is taken for a secret has 24 to 64 bytes.
func FuzzSecret(f *testing.F) {
	f.Add("whsec_" + base64.StdEncoding.EncodeToString(secret) + "\n")
	f.Add("whsec_")
	f.Add(base64.StdEncoding.EncodeToString(secret))
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parseSecret("f", text)
		if err == nil && (len(got) < 24 || len(got) > 64) || err != nil && got != nil {
			t.Errorf("parseSecret(%q) = %d bytes, %v", text, len(got), err)
		}
		if err != nil && len(text) > 12 && strings.Contains(fmt.Sprint(err), text) {
			t.Errorf("the error has the secret: %v", err)
		}
	})
}
