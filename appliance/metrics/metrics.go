// Package metrics is what the server counts, for Prometheus. Make a Metrics, wrap the handler of each port with Count,
// and serve Handler to those who may read it.
//
// Names begin with griddle_, units are seconds and bytes, counters end in _total
// (prometheus.io/docs/practices/naming). The values of labels are words of this program: no name, address or other
// string of a machine, so that no stranger can make series.
package metrics

import (
	"context"
	"log/slog"
	"net/http"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Every is how long a State is used again: to make one reads all machines.
const Every = 15 * time.Second

// State is what is counted when someone asks. All keys are words of this program.
type State struct {
	Machines  map[string]int  // by status
	Jobs      map[string]int  // live ones, by kind
	Images    int             // versions in the store
	Sessions  int             // of multicast
	Receivers int             // of these
	Checks    map[string]bool // of readiness: whether each passes
	Space     map[string]Space
	Held      map[string]int64 // of the limits of all clients: connections, requests
}

// Space is that of a filesystem, in bytes.
type Space struct{ Free, Size int64 }

// Metrics are all metrics of a server. Several goroutines may use it.
type Metrics struct {
	registry *prometheus.Registry
	read     func(context.Context) State
	log      *slog.Logger

	requests *prometheus.CounterVec
	bytes    *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	current  *prometheus.GaugeVec

	mu    sync.Mutex
	last  State
	until time.Time
}

// New makes Metrics. read makes the State, and logs what fails, which it leaves out.
func New(read func(context.Context) State, log *slog.Logger) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry(), read: read, log: log,
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "griddle_http_requests_total",
			Help: "Requests that were answered, by port, route and status."}, []string{"port", "route", "code"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "griddle_http_response_bytes_total",
			Help: "Bytes of the bodies of answers."}, []string{"port"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "griddle_http_request_duration_seconds",
			Help:    "How long requests took; those for images and those that wait for news take long.",
			Buckets: []float64{.005, .025, .1, .5, 2.5, 10, 60, 300}}, []string{"port"}),
		current: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "griddle_http_requests_in_flight",
			Help: "Requests that are under way."}, []string{"port"}),
	}
	m.registry.MustRegister(m.requests, m.bytes, m.seconds, m.current, build(), collector{m},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// build says which program runs.
func build() prometheus.Collector {
	revision := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				revision = s.Value
			}
		}
	}
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "griddle_build_info", Help: "The program; the value is 1.",
		ConstLabels: prometheus.Labels{"revision": revision, "goversion": runtime.Version()}})
	g.Set(1)
	return g
}

// Handler serves the metrics to anyone: the caller checks who asks.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 30 * time.Second,
		ErrorLog: slog.NewLogLogger(m.log.Handler(), slog.LevelWarn)})
}

// state is the State of now, or of less than Every ago.
func (m *Metrics) state() State {
	m.mu.Lock()
	defer m.mu.Unlock()
	if time.Now().Before(m.until) {
		return m.last
	}
	ctx, stop := context.WithTimeout(context.Background(), 20*time.Second)
	defer stop()
	m.last = m.read(ctx)
	m.until = time.Now().Add(Every)
	return m.last
}

// collector makes metrics of the State.
type collector struct{ m *Metrics }

var (
	machines = prometheus.NewDesc("griddle_machines", "Machines, by the status that the list of machines shows.",
		[]string{"status"}, nil)
	jobs      = prometheus.NewDesc("griddle_jobs_live", "Jobs that wait or run, by kind.", []string{"kind"}, nil)
	images    = prometheus.NewDesc("griddle_images", "Versions of images in the store.", nil, nil)
	sessions  = prometheus.NewDesc("griddle_multicast_sessions", "Multicast sessions.", nil, nil)
	receivers = prometheus.NewDesc("griddle_multicast_receivers", "Receivers of all multicast sessions.", nil, nil)
	checks    = prometheus.NewDesc("griddle_check_passed", "1 for a check of /readyz that passes, else 0.",
		[]string{"check"}, nil)
	free = prometheus.NewDesc("griddle_filesystem_free_bytes", "Bytes that can still be written there.",
		[]string{"of"}, nil)
	size = prometheus.NewDesc("griddle_filesystem_size_bytes", "Bytes of the filesystem.", []string{"of"}, nil)
	held = prometheus.NewDesc("griddle_limit_held", "What all clients together hold of a limit.", []string{"of"}, nil)
)

// Describe implements prometheus.Collector.
func (collector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{machines, jobs, images, sessions, receivers, checks, free, size, held} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (c collector) Collect(to chan<- prometheus.Metric) {
	s := c.m.state()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for status, n := range s.Machines {
		gauge(machines, float64(n), status)
	}
	for kind, n := range s.Jobs {
		gauge(jobs, float64(n), kind)
	}
	gauge(images, float64(s.Images))
	gauge(sessions, float64(s.Sessions))
	gauge(receivers, float64(s.Receivers))
	for check, ok := range s.Checks {
		passed := 0.0
		if ok {
			passed = 1
		}
		gauge(checks, passed, check)
	}
	for of, space := range s.Space {
		gauge(free, float64(space.Free), of)
		gauge(size, float64(space.Size), of)
	}
	for of, n := range s.Held {
		gauge(held, float64(n), of)
	}
}
