package api

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"griddle/appliance/account"
	"griddle/appliance/job"
)

// TestRoutesNameTheirRole: a route of operators without a role would be closed to all.
func TestRoutesNameTheirRole(t *testing.T) {
	roles := account.Roles()
	n := 0
	for _, r := range newSite(t).handler.Routes() {
		if r.Who != Operators {
			continue
		}
		n++
		own := strings.HasPrefix(r.Pattern, "POST /v1/logout") || strings.Contains(r.Pattern, "/v1/tokens")
		if !slices.Contains(roles, r.Role) || r.Role == account.Viewer && !r.Reads && !own {
			t.Errorf("%s needs the role %q", r.Pattern, r.Role)
		}
	}
	if n < 20 {
		t.Errorf("there are %d routes of operators", n)
	}
}

// TestRefusedParameters: what huma refuses is a problem as any other, and does not repeat what was sent.
func TestRefusedParameters(t *testing.T) {
	s := newSite(t)
	for _, c := range []struct{ method, path, body, says string }{
		{"GET", "/v1/machines?limit=canary", "", "limit: invalid integer"},
		{"GET", "/v1/machines/x/log?after=-1&wait=canary", "", "after: expected number >= 0"},
		{"DELETE", "/v1/machines/x?recovery=canary", "", `recovery: expected value to be one of "lose"`},
		{"POST", "/v1/machines/x/install", `{"image":{"canary":1}}`, "reading the body"},
		{"PUT", "/v1/machines/x/settings", `{"root":{"passwordHash":["canary"]}}`, "no such machine"},
	} {
		req := httptest.NewRequest(c.method, c.path, strings.NewReader(c.body))
		req.Header = http.Header{"Authorization": {"Bearer " + adminToken}, "Content-Type": {"application/json"},
			"Accept": {"text/html, json;q=0.5"}}
		rec := httptest.NewRecorder()
		s.handler.ServeHTTP(rec, req)
		said := rec.Body.String()
		if p := job.ReadProblem(rec.Code, rec.Body.Bytes()); rec.Code < 400 || rec.Code > 499 ||
			!strings.Contains(p.Detail, c.says) || strings.Contains(said, "canary") ||
			rec.Header().Get("Content-Type") != job.ProblemType || rec.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s %s = %d %s, want a problem that says %q", c.method, c.path, rec.Code, said, c.says)
		}
	}
}
