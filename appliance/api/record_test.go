package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	"griddle/appliance/fleet"
	"griddle/appliance/job"
)

// TestRecords is the agent's way to keep records, over the wire: byte for byte, in pages, for its own job alone.
func TestRecords(t *testing.T) {
	ctx, s := t.Context(), newSite(t)
	operator := NewClient(s.URL, adminToken, s.tls)
	agent, hello := s.boot(t, true)
	if _, err := agent.Hello(ctx, hello); err != nil {
		t.Fatal(err)
	}
	var p *job.Problem
	if _, err := agent.Records(ctx, uuid.NewString()); !errors.As(err, &p) || p.Status != http.StatusConflict {
		t.Errorf("Records() without a job = %v, want 409", err)
	}
	m, err := operator.Install(ctx, mac, Install{Image: "web", Disk: "largest"})
	if err != nil {
		t.Fatal(err)
	}
	id := m.Job.Spec.ID
	if all, err := agent.Records(ctx, id); err != nil || len(all) != 0 {
		t.Errorf("Records() before the first = %s, %v", all, err)
	}
	large := func(c string) json.RawMessage {
		return json.RawMessage(`{"x":"` + strings.Repeat(c, job.MaxRecord-8) + `"}`)
	}
	want := []json.RawMessage{json.RawMessage(`{"html": "<&>", "n": 1.0}`), large("<"),
		json.RawMessage(`{"ü":"\ud800"}`), large("y"), json.RawMessage(`{}`)}
	for i, one := range want {
		if err := agent.Record(ctx, id, one); err != nil {
			t.Fatalf("Record() %d = %v", i, err)
		}
	}
	all, err := agent.Records(ctx, id)
	if err != nil || len(all) != len(want) {
		t.Fatalf("Records() has %d, %v, want %d", len(all), err, len(want))
	}
	for i := range want {
		if !bytes.Equal(all[i], want[i]) {
			t.Errorf("record %d is %.80s, want %.80s", i, all[i], want[i])
		}
	}
	for name, bad := range map[string]json.RawMessage{"too large": append(large("z"), '}'),
		"a list": json.RawMessage(`[]`)} {
		if err := agent.Record(ctx, id, bad); err == nil || job.Retryable(err) == errors.As(err, &p) && p.Status < 500 {
			t.Errorf("Record() of %s = %v", name, err)
		}
	}
	// Without the key of the hello the token is worth nothing, and neither is the token of another machine's boot.
	thief := job.NewClient(s.URL, s.tls)
	if _, err := thief.Records(ctx, id); !errors.As(err, &p) || p.Status != http.StatusUnauthorized {
		t.Errorf("Records() of a caller without a token = %v, want 401", err)
	}
	other, hello2 := s.boot(t, true)
	hello2.Identity = job.Identity{MACs: []string{"52:54:00:00:00:0b"}}
	if _, err := other.Hello(ctx, hello2); err != nil {
		t.Fatal(err)
	}
	if _, err := operator.Install(ctx, "52:54:00:00:00:0b", Install{Image: "web", Disk: "largest"}); err != nil {
		t.Fatal(err)
	}
	if all, err := other.Records(ctx, id); !errors.As(err, &p) || p.Status != http.StatusConflict || all != nil {
		t.Errorf("Records() of another machine = %s, %v, want 409", all, err)
	}
	if err := other.Record(ctx, id, want[0]); !errors.As(err, &p) || p.Status != http.StatusConflict {
		t.Errorf("Record() of another machine = %v, want 409", err)
	}
}

// TestHostileRecords sends what no agent does. Each is refused with what is wrong, and nothing is kept.
func TestHostileRecords(t *testing.T) {
	s, f := plainSite(t, nil)
	if _, err := NewClient(s.URL, adminToken, nil).Install(t.Context(), mac, Install{Image: "web",
		Disk: "largest"}); err != nil {
		t.Fatal(err)
	}
	var w job.Welcome
	h := helloOf(mac)
	if _, b := post(t, http.DefaultClient, s.URL+job.HelloPath, "", h); json.Unmarshal(b, &w) != nil || w.Job == nil {
		t.Fatalf("hello: %s", b)
	}
	id := w.Job.ID
	ask := func(method, path, token, kind, body string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, s.URL+job.RecordsPath+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", kind)
		req.Header.Set("Authorization", "Bearer "+token)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(b)
	}
	const kind = "application/json"
	huge := `{"x":"` + strings.Repeat("x", job.MaxRecord) + `"}`
	for _, c := range []struct {
		name, path, token, kind, body string
		status                        int
		says                          string
	}{
		{"no token", id, "", kind, `{}`, 401, ""},
		{"another token", id, "x", kind, huge, 401, ""},
		{"the administrator's", id, adminToken, kind, `{}`, 401, ""},
		{"another type", id, w.Token, "text/plain", `{}`, 415, "application/json"},
		{"nothing", id, w.Token, kind, "", 400, "not a JSON object"},
		{"null", id, w.Token, kind, "null", 400, "not a JSON object"},
		{"two objects", id, w.Token, kind, "{}{}", 400, "not a JSON object"},
		{"deep", id, w.Token, kind, strings.Repeat(`{"a":`, 1<<20), 400, "not a JSON object"},
		{"binary", id, w.Token, kind, "{\"\xff\":\x00}", 400, "not a JSON object"},
		{"too large", id, w.Token, kind, huge, 413, "8388607"},
		{"another job", uuid.NewString(), w.Token, kind, `{}`, 409, "not a live job"},
		{"a path", "..%2f" + id, w.Token, kind, `{}`, 409, "not a live job"},
		{"SQL", "x'%20OR%201=1--", w.Token, kind, `{}`, 409, "not a live job"},
	} {
		status, b := ask("POST", c.path, c.token, c.kind, c.body)
		if status != c.status || !strings.Contains(b, c.says) {
			t.Errorf("%s: %d %.200s, want %d with %q", c.name, status, b, c.status, c.says)
		}
	}
	for path, status := range map[string]int{id + "?after=-1": 400, id + "?after=x": 400,
		id + "?after=99999999999": 200, id: 200, "x": 409} {
		want := `{"records":[],"next":0}`
		if got, b := ask("GET", path, w.Token, "", ""); got != status || status == 200 && b != want {
			t.Errorf("GET %s: %d %.200s, want %d", path, got, b, status)
		}
	}
	if page, err := f.Records(t.Context(), fleet.Proof{Token: w.Token}, id, 0, 1<<20); err != nil || page.All != nil {
		t.Errorf("after that there are %s, %v", page.All, err)
	}
	// Beyond the limit of the job: it does not help to try again.
	for i := range 9 {
		body := fmt.Sprintf(`{"%d":"%s"}`, i, strings.Repeat("x", job.MaxRecord-8))
		status, b := ask("POST", id, w.Token, kind, body)
		if want := map[bool]int{true: 204, false: 413}[i < 8]; status != want {
			t.Errorf("record %d: %d %s, want %d", i, status, b, want)
		}
	}
}
