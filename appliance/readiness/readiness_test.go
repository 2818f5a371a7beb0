package readiness

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func ask(p *Probe) (int, string) {
	rec := httptest.NewRecorder()
	p.Ready(rec, httptest.NewRequest("GET", "/readyz", nil))
	return rec.Code, strings.TrimSpace(rec.Body.String())
}

func TestReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logged bytes.Buffer
		var wrong error
		p := New(slog.New(slog.NewTextHandler(&logged, nil)),
			Check{"state", func(context.Context) error { return wrong }},
			Check{"store", func(context.Context) error { return nil }})
		want := func(code int, body string) {
			t.Helper()
			if gotCode, got := ask(p); gotCode != code || got != body {
				t.Errorf("GET /readyz = %d %s, want %d %s", gotCode, got, code, body)
			}
		}
		good := `{"ready":true,"checks":{"state":"ok","store":"ok"}}`
		want(200, good)
		wrong = errors.New("writing /var/lib/griddle/fleet.db: read-only file system")
		want(200, good) // of a moment ago
		time.Sleep(Every)
		want(503, `{"ready":false,"checks":{"state":"failed","store":"ok"}}`)
		time.Sleep(Every)
		want(503, `{"ready":false,"checks":{"state":"failed","store":"ok"}}`)
		if n := strings.Count(logged.String(), "read-only file system"); n != 1 {
			t.Errorf("the log has the error %d times, want once:\n%s", n, &logged)
		}
		wrong = nil
		time.Sleep(Every)
		want(200, good)
		if !strings.Contains(logged.String(), "passes again") {
			t.Errorf("the log does not say that it passes again:\n%s", &logged)
		}
	})
}

// TestSlowCheck asks for a check that does not end many times at once, and again later: it runs once.
func TestSlowCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		end, begun := make(chan struct{}), 0
		p := New(nil, Check{"store", func(context.Context) error {
			begun++
			<-end
			return nil
		}}, Check{"state", func(context.Context) error { panic("a mistake") }})
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				if code, body := ask(p); code != 503 ||
					body != `{"ready":false,"checks":{"state":"failed","store":"failed"}}` {
					t.Errorf("GET /readyz = %d %s, want 503 with both failed", code, body)
				}
			})
		}
		all.Wait()
		time.Sleep(Every)
		ask(p)
		if begun != 1 {
			t.Errorf("the check was begun %d times, want once", begun)
		}
		close(end)
		synctest.Wait()
		time.Sleep(Every)
		ask(p) // takes the old result
		time.Sleep(Every)
		if _, body := ask(p); !strings.Contains(body, `"store":"ok"`) || begun != 2 {
			t.Errorf("after it ended: %s, begun %d times, want ok and 2", body, begun)
		}
	})
}

// TestGone has one who asks leave: the checks go on for the next one.
func TestGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(nil, Check{"store", func(ctx context.Context) error {
			time.Sleep(time.Second)
			return ctx.Err()
		}})
		ctx, leave := context.WithCancel(t.Context())
		leave()
		p.gate <- struct{}{} // another one has them
		if _, err := p.Report(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Report() with an ended context = %v, want %v", err, context.Canceled)
		}
		<-p.gate
		ctx, leave = context.WithCancel(t.Context())
		time.AfterFunc(time.Millisecond, leave)
		if r, err := p.Report(ctx); err != nil || !r.Ready {
			t.Errorf("Report() whose context ends meanwhile = %v, %v, want ready", r, err)
		}
	})
}

func TestHealth(t *testing.T) {
	rec := httptest.NewRecorder()
	New(nil).Health(rec, httptest.NewRequest("GET", "/healthz", nil))
	if rec.Code != 204 || rec.Body.Len() != 0 {
		t.Errorf("GET /healthz = %d %q, want 204 and nothing", rec.Code, rec.Body)
	}
}
