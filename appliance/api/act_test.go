package api

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"griddle/appliance/account"
	"griddle/appliance/fleet"
	"griddle/appliance/job"
)

// TestRunPolicy: who may run programs is what the site says, whatever the machine is.
func TestRunPolicy(t *testing.T) {
	s := newSite(t)
	operator := s.tokenOf(t, account.NewToken{Name: "op", Role: account.Operator})
	ask := func(token string) string {
		req := httptest.NewRequest("POST", "/v1/machines/x/run", strings.NewReader(`{"argv":["true"]}`))
		req.Header = http.Header{"Authorization": {"Bearer " + token}, "Content-Type": {"application/json"}}
		rec := httptest.NewRecorder()
		s.handler.ServeHTTP(rec, req)
		return job.ReadProblem(rec.Code, rec.Body.Bytes()).Detail
	}
	const may = "no such machine"
	for policy, want := range map[fleet.Runs][2]string{"": {may, "only administrators"},
		fleet.RunsAdmins: {may, "only administrators"}, fleet.RunsOperators: {may, may},
		fleet.RunsNobody: {"this site runs no programs", "this site runs no programs"}} {
		s.fleet.Reconfigure(fleet.Options{Runs: policy})
		for i, token := range []string{adminToken, operator} {
			if says := ask(token); !strings.Contains(says, want[i]) {
				t.Errorf("as %q caller %d gets %q, want %q", policy, i, says, want[i])
			}
		}
	}
}
