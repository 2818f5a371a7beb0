package metrics

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// some is a State with a value of each kind.
func some(context.Context) State {
	return State{Machines: map[string]int{"deployed": 3}, Jobs: map[string]int{"install": 2}, Images: 4, Sessions: 1,
		Receivers: 7, Checks: map[string]bool{"state": true, "store": false},
		Space: map[string]Space{"state": {Free: 10, Size: 20}}, Held: map[string]int64{"requests": 5}}
}

// served is Metrics with a request on each port.
func served(t *testing.T) *Metrics {
	t.Helper()
	m := New(some, slog.New(slog.DiscardHandler))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/machines/{key}", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusNotFound)
		w.Write([]byte("0123456789"))
	})
	mux.HandleFunc("GET /crash", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	h := m.Count("https", mux)
	for _, path := range []string{"/v1/machines/lab-1", "/v1/machines/%22%0aevil", "/nothing/evil", "/crash"} {
		func() {
			defer func() { _ = recover() }()
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", path, nil))
		}()
	}
	return m
}

func text(m *Metrics) string {
	rec := httptest.NewRecorder()
	m.Handler().ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	return rec.Body.String()
}

func TestMetrics(t *testing.T) {
	m := served(t)
	got := text(m)
	for _, want := range []string{
		`griddle_http_requests_total{code="404",port="https",route="GET /v1/machines/{key}"} 2`,
		`griddle_http_requests_total{code="404",port="https",route="none"} 1`,
		`griddle_http_requests_total{code="200",port="https",route="GET /crash"} 1`,
		`griddle_http_requests_in_flight{port="https"} 0`,
		`griddle_http_request_duration_seconds_count{port="https"} 4`,
		`griddle_machines{status="deployed"} 3`, `griddle_jobs_live{kind="install"} 2`, `griddle_images 4`,
		`griddle_multicast_sessions 1`, `griddle_multicast_receivers 7`,
		`griddle_check_passed{check="state"} 1`, `griddle_check_passed{check="store"} 0`,
		`griddle_filesystem_free_bytes{of="state"} 10`, `griddle_filesystem_size_bytes{of="state"} 20`,
		`griddle_limit_held{of="requests"} 5`, `griddle_build_info{`,
	} {
		if !strings.Contains(got, "\n"+want) {
			t.Errorf("the metrics have no %s", want)
		}
	}
	if strings.Contains(got, "evil") || strings.Contains(got, "lab-1") {
		t.Errorf("the metrics have a string of a request:\n%s", got)
	}
	problems, err := testutil.GatherAndLint(m.registry)
	if err != nil || len(problems) > 0 {
		t.Errorf("promlint says %v, %v", problems, err)
	}
}

// TestStateIsReadSeldom asks a hundred times: machines are read once in Every.
func TestStateIsReadSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		m := New(func(ctx context.Context) State {
			n++
			return some(ctx)
		}, slog.New(slog.DiscardHandler))
		for range 100 {
			m.state()
		}
		time.Sleep(Every)
		m.state()
		if n != 2 {
			t.Errorf("the state was read %d times, want twice", n)
		}
	})
}

// TestReadFrom copies as package httpserver does, and counts the bytes.
func TestReadFrom(t *testing.T) {
	m := New(some, slog.New(slog.DiscardHandler))
	rec := httptest.NewRecorder()
	m.Count("http", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if n, err := w.(io.ReaderFrom).ReadFrom(strings.NewReader("0123456789")); n != 10 || err != nil {
			t.Errorf("ReadFrom() = %d, %v", n, err)
		}
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Errorf("Flush() = %v", err)
		}
	})).ServeHTTP(rec, httptest.NewRequest("GET", "/", nil))
	if want := `griddle_http_response_bytes_total{port="http"} 10`; !strings.Contains(text(m), want) ||
		rec.Body.String() != "0123456789" {
		t.Errorf("the metrics have no %s, or the answer is %q", want, rec.Body)
	}
}

// TestDocuments compares the metrics with the table of docs/OBSERVE.md, and with what the dashboard for Grafana asks
// for.
func TestDocuments(t *testing.T) {
	families, err := served(t).registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var ours, all []string
	for _, f := range families {
		all = append(all, f.GetName())
		if strings.HasPrefix(f.GetName(), "griddle_") {
			ours = append(ours, f.GetName())
		}
	}
	doc, err := os.ReadFile("../../docs/OBSERVE.md")
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	_, table, _ := strings.Cut(string(doc), "| Metric |")
	table, _, _ = strings.Cut(table, "\n\n")
	for _, m := range regexp.MustCompile("(?m)^\\| `(griddle_[a-z_]+)").FindAllStringSubmatch(table, -1) {
		told = append(told, m[1])
	}
	slices.Sort(told)
	if !slices.Equal(told, ours) {
		t.Errorf("docs/OBSERVE.md has the metrics\n%v, want\n%v", told, ours)
	}
	b, err := os.ReadFile("../../docs/grafana/griddle.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.NewDecoder(bytes.NewReader(b)).Decode(&dashboard); err != nil {
		t.Fatal(err)
	}
	var shown []string
	for _, p := range dashboard.Panels {
		if len(p.Targets) == 0 {
			t.Errorf("the panel %q shows nothing", p.Title)
		}
		for _, target := range p.Targets {
			names := regexp.MustCompile(`\b(griddle|go|process)_[a-z_]+`).FindAllString(target.Expr, -1)
			for _, name := range names {
				name = strings.TrimSuffix(name, "_bucket")
				if shown = append(shown, name); !slices.Contains(all, name) {
					t.Errorf("the panel %q asks for %s, which does not exist", p.Title, name)
				}
			}
			if len(names) != 1 {
				t.Errorf("the panel %q asks for %v, want one metric", p.Title, names)
			}
		}
	}
	for _, name := range ours {
		if name != "griddle_build_info" && !slices.Contains(shown, name) {
			t.Errorf("no panel shows %s", name)
		}
	}
}
