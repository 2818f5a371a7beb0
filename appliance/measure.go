package appliance

import (
	"context"
	"net/http"
	"net/netip"

	"golang.org/x/sys/unix"

	"griddle/appliance/account"
	"griddle/appliance/fleet/filter"
	"griddle/appliance/metrics"
	"griddle/appliance/readiness"
)

// measured makes the metrics of this server.
func (s *server) measured() *metrics.Metrics { return metrics.New(s.measure, s.log) }

// measure counts. What cannot be read is logged and left out.
func (s *server) measure(ctx context.Context) metrics.State {
	out := metrics.State{Machines: map[string]int{}, Jobs: map[string]int{}, Checks: map[string]bool{},
		Space: map[string]metrics.Space{}, Held: map[string]int64{}}
	failed := func(what string, err error) { s.log.Warn("counting for metrics failed", "of", what, "error", err) }
	for after := ""; ; {
		page, next, err := s.fleet.List(ctx, filter.Filter{}, after, 0)
		if err != nil {
			failed("machines", err)
			break
		}
		for _, v := range page {
			out.Machines[v.Status()]++
			if v.Job != nil && v.Job.Live() {
				kind := string(v.Job.Spec.Kind)
				if kind == "" {
					kind = "install"
				}
				out.Jobs[kind]++
			}
		}
		if after = next; after == "" {
			break
		}
	}
	if all, err := s.store.List(ctx); err != nil {
		failed("images", err)
	} else {
		out.Images = len(all)
	}
	for _, one := range s.streams.List() {
		out.Sessions++
		out.Receivers += len(one.Status.Receivers)
	}
	if report, err := s.ready.Report(ctx); err != nil {
		failed("checks", err)
	} else {
		for name, state := range report.Checks {
			out.Checks[name] = state == readiness.OK
		}
	}
	for of, dir := range map[string]string{"state": s.state.dir, "store": s.config.StoreDir()} {
		var at unix.Statfs_t
		if err := unix.Statfs(dir, &at); err != nil {
			failed(of, err)
			continue
		}
		out.Space[of] = metrics.Space{Free: int64(at.Bavail) * at.Bsize, Size: int64(at.Blocks) * at.Bsize}
	}
	out.Held["connections"] = int64(s.limits.conns.Held().Slots)
	out.Held["requests"] = int64(s.limits.turns.Held().Slots)
	return out
}

// serveMetrics answers those who have a token with the role viewer, and those at addresses that the configuration
// names. By plain HTTP no token counts: it would be readable on the way.
func (s *server) serveMetrics(mux *http.ServeMux, secure bool) {
	all := s.metrics.Handler()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		if !s.mayMeasure(r.RemoteAddr) {
			if !secure {
				http.Error(w, "this address is not in metrics.without_token of the server's configuration; use https "+
					"and a token", http.StatusForbidden)
				return
			}
			if !s.api.Admit(w, r, account.Viewer) {
				return
			}
		}
		w.Header().Set("Cache-Control", "no-store")
		all.ServeHTTP(w, r)
	})
}

// mayMeasure says whether the configuration names the address.
func (s *server) mayMeasure(remote string) bool {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return false
	}
	for _, p := range s.live.Load().config.Metrics.WithoutToken {
		if p.Contains(at.Addr().Unmap().WithZone("")) {
			return true
		}
	}
	return false
}
