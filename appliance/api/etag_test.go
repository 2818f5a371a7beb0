package api

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"griddle/appliance/fleet"
	"griddle/appliance/job"
)

// TestIfMatch: of two operators who change the same settings, the later one is told, if its program asks for that.
func TestIfMatch(t *testing.T) {
	s := newSite(t)
	if _, _, err := s.fleet.Install(t.Context(), mac,
		fleet.Order{Image: job.Image{Ref: "web:1@amd64"}, Disk: "largest"}); err != nil {
		t.Fatal(err)
	}
	ask := func(method, ifMatch, body string) (status int, tag string) {
		req := httptest.NewRequest(method, "/v1/machines/"+mac+"/settings", strings.NewReader(body))
		req.Header = http.Header{"Authorization": {"Bearer " + adminToken}, "Content-Type": {"application/json"}}
		if ifMatch != "" {
			req.Header.Set("If-Match", ifMatch)
		}
		rec := httptest.NewRecorder()
		s.handler.ServeHTTP(rec, req)
		return rec.Code, rec.Header().Get("ETag")
	}
	_, none := ask("GET", "", "")
	for _, c := range []struct {
		name, method, ifMatch, body string
		want                        int
	}{
		{"nothing is there", "PUT", "*", `{"zone":"UTC"}`, 412},
		{"the first", "PUT", none, `{"zone":"UTC"}`, 200},
		{"the second, who read before", "PUT", none, `{"zone":"Europe/Berlin"}`, 412},
		{"a merge by the second", "PATCH", none, `{"settings":{"zone":"Europe/Berlin"}}`, 412},
		{"a deletion by the second", "DELETE", none, "", 412},
		{"a weak tag", "PATCH", "W/" + none, `{"settings":{"zone":"Europe/Berlin"}}`, 412},
		{"any", "PATCH", "*", `{"settings":{"zone":"Europe/Berlin"}}`, 200},
		{"without", "PATCH", "", `{"settings":{"zone":"Europe/Rome"}}`, 200},
	} {
		if got, _ := ask(c.method, c.ifMatch, c.body); got != c.want {
			t.Errorf("%s: %s with If-Match %s = %d, want %d", c.name, c.method, c.ifMatch, got, c.want)
		}
	}
	_, now := ask("GET", "", "")
	if now == none || !strings.HasPrefix(now, `"`) {
		t.Errorf("the ETag is %s, and was %s", now, none)
	}
	if got, _ := ask("DELETE", `"other", `+now, ""); got != 204 {
		t.Errorf("DELETE with the present tag among others = %d", got)
	}
	if _, again := ask("GET", "", ""); again != none {
		t.Errorf("the ETag of no settings is %s, and was %s", again, none)
	}
}
