package appliance

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"griddle/appliance/config"
)

// TestMetrics asks both ports with each identity, and then from an address that the configuration names.
func TestMetrics(t *testing.T) {
	r := newRunning(t, config.ImagesPublic)
	for _, who := range callersInOrder() {
		want := 401
		if slices.Contains([]string{"viewer", "operator", "publishing", "admin", "administrator"}, who) {
			want = 200
		}
		status, body := r.ask(r.secure.URL, "GET", "/metrics", r.tokens[who], "")
		if status != want || (status == 200) != strings.Contains(body, "griddle_machines") {
			t.Errorf("GET /metrics by %q = %d %.200s, want %d", who, status, body, want)
		}
		if status, body := r.ask(r.plain.URL, "GET", "/metrics", r.tokens[who], ""); status != 403 ||
			strings.Contains(body, "griddle_machines") {
			t.Errorf("GET /metrics without TLS by %q = %d %.200s, want 403", who, status, body)
		}
	}
	conf := r.config
	conf.Metrics.WithoutToken = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	r.live.Store(&live{config: conf})
	for _, base := range []string{r.plain.URL, r.secure.URL} {
		status, body := r.ask(base, "GET", "/metrics", "", "")
		for _, want := range []string{`griddle_machines{status="pending"} 2`, `griddle_jobs_live{kind="install"} 2`,
			`griddle_jobs_live{kind="update"} 1`, `griddle_images 1`, `griddle_check_passed{check="store"} 1`,
			`griddle_filesystem_free_bytes{of="state"} `} {
			if status != 200 || !strings.Contains(body, want) {
				t.Errorf("GET %s/metrics from an address that is named = %d without %s:\n%s", base, status, want, body)
			}
		}
	}
}
