package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"griddle/appliance/account"
)

const accountPassword = "correct horse battery"

// ask sends a request as the holder of a token.
func (s *site) ask(token, method, path, body string) (int, string) {
	req := httptest.NewRequest(method, path, strings.NewReader(body))
	req.RemoteAddr = "10.0.0.9:1000"
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	rec := httptest.NewRecorder()
	s.handler.ServeHTTP(rec, req)
	return rec.Code, rec.Body.String()
}

// tokenOf makes a token of no account.
func (s *site) tokenOf(t *testing.T, n account.NewToken) string {
	t.Helper()
	secret, _, err := s.accounts.MakeToken(t.Context(), account.Who{Name: "test", Role: account.Admin}, n)
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

// TestRolesOfRoutes calls every route of operators with every role, and without a token, with an expired one, a deleted
// one, one of another server and one of a boot: only those may call it whose role the route states. A new route is
// tested by being there.
func TestRolesOfRoutes(t *testing.T) {
	s := newSite(t)
	ctx := t.Context()
	other, err := account.Open(ctx, filepath.Join(t.TempDir(), "accounts.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.Close() })
	foreign, _, err := other.MakeToken(ctx, account.Who{Role: account.Admin}, account.NewToken{Name: "x",
		Role: account.Admin})
	if err != nil {
		t.Fatal(err)
	}
	_, boot := hello(t, s)
	for _, r := range s.handler.Routes() {
		if r.Who != Operators {
			continue
		}
		callers := map[string]string{"": "", "wrong": "wrong", "admin.token": adminToken, "foreign": foreign,
			"boot": boot}
		roles := map[string]account.Role{"admin.token": account.Admin}
		for _, role := range account.Roles() { // new ones each time: a route may delete the token
			n := account.NewToken{Name: string(role), Role: role}
			if role == account.Publisher {
				n.Prefixes = []string{"*"}
			}
			callers[string(role)], roles[string(role)] = s.tokenOf(t, n), role
		}
		deleted, token, err := s.accounts.MakeToken(ctx, account.Who{Role: account.Admin},
			account.NewToken{Name: "x", Role: account.Admin})
		if err == nil {
			err = s.accounts.DeleteToken(ctx, account.Who{Role: account.Admin}, token.ID)
		}
		if err != nil {
			t.Fatal(err)
		}
		callers["deleted"] = deleted
		callers["expired"] = s.tokenOf(t, account.NewToken{Name: "x", Role: account.Admin,
			Until: time.Now().Add(time.Hour)})
		method, path, _ := strings.Cut(r.Pattern, " ")
		path = strings.NewReplacer("{key}", "52:54:00:00:00:77", "{id}", "none", "{action}", "stop", "{name}",
			"none").Replace(path)
		for who, token := range callers {
			if who == "expired" {
				s.ahead.Store(int64(2 * time.Hour))
			}
			status, said := s.ask(token, method, path, "{}")
			s.ahead.Store(0)
			want := "let in"
			switch {
			case roles[who] == "":
				want = "401"
			case !roles[who].May(r.Role):
				want = "403"
			}
			got := "let in"
			if status == 401 || status == 403 && strings.Contains(said, "this needs the role") {
				got = fmt.Sprint(status)
			}
			if got != want || status >= 500 {
				t.Errorf("%s, which needs %s, by %q: %s (%d %.200s), want %s", r.Pattern, r.Role, who, got, status,
					said, want)
			}
		}
	}
}

// hello has a boot say hello, and returns its machine's name and its token.
func hello(t *testing.T, s *site) (string, string) {
	t.Helper()
	status, said := s.ask("", "POST", "/v1/agent/hello",
		`{"boot":"7b7c0bd0-4a3a-4b94-b0ac-6c4a0c1f9f01","identity":{"macs":["52:54:00:00:00:55"]}}`)
	var w struct{ Machine, Token string }
	if err := json.Unmarshal([]byte(said), &w); err != nil || status != http.StatusOK || w.Token == "" {
		t.Fatalf("hello = %d %s", status, said)
	}
	return w.Machine, w.Token
}

// TestAuditOfCalls makes each changing call that there is: the log has who, what, on what and how it ended, and neither
// bodies nor secrets. A call that only reads is not in it.
func TestAuditOfCalls(t *testing.T) {
	s := newSite(t)
	ctx := t.Context()
	for _, r := range s.handler.Routes() {
		if r.Who != Operators {
			continue
		}
		before, err := s.accounts.Entries(ctx, 0, 10000)
		if err != nil {
			t.Fatal(err)
		}
		method, path, _ := strings.Cut(r.Pattern, " ")
		path = strings.NewReplacer("{key}", "52:54:00:00:00:77", "{id}", "none", "{action}", "stop", "{name}",
			"none").Replace(path)
		status, _ := s.ask(adminToken, method, path+"?canary=canary", `{"canary":"canary"}`)
		after, err := s.accounts.Entries(ctx, int64(len(before)), 10000)
		if err != nil {
			t.Fatal(err)
		}
		if r.Reads || method == http.MethodGet {
			if len(after) != 0 {
				t.Errorf("%s is in the log", r.Pattern)
			}
			continue
		}
		if len(after) != 2 || after[0].Outcome != account.Begun || after[0].Call != r.Pattern ||
			after[0].Who != account.AdminToken || after[0].From != "10.0.0.9" || after[1].Of != after[0].Seq ||
			after[1].Status != status || after[1].Outcome != account.OutcomeOf(status) {
			t.Errorf("%s = %d has the entries %+v", r.Pattern, status, after)
		}
		if strings.Contains(r.Pattern, "{key}") && after[0].On != "52:54:00:00:00:77" {
			t.Errorf("%s is about %q", r.Pattern, after[0].On)
		}
	}
	all, err := s.accounts.Entries(ctx, 0, 10000)
	if _, _, cerr := account.Check(0, "", all); err != nil || cerr != nil {
		t.Errorf("the log: %v, %v", err, cerr)
	}
	if b, err := json.Marshal(all); err != nil || bytes.Contains(b, []byte("canary")) {
		t.Errorf("the log has a body or a query: %s", b)
	}
}

// TestAccounts goes through the life of an account over the API, and looks for its secrets in the log and the answers.
func TestAccounts(t *testing.T) {
	s := newSite(t)
	do := func(token, method, path, body string, want int) string {
		t.Helper()
		status, said := s.ask(token, method, path, body)
		if status != want {
			t.Fatalf("%s %s = %d %s, want %d", method, path, status, said, want)
		}
		return said
	}
	do(adminToken, "POST", "/v1/accounts", `{"name":"ada","role":"operator","password":"`+accountPassword+`"}`, 201)
	do(adminToken, "POST", "/v1/accounts", `{"name":"ada","role":"viewer"}`, 409)
	do(adminToken, "POST", "/v1/accounts", `{"name":"Eve","role":"root"}`, 400)
	do("", "POST", "/v1/login", `{"name":"ada","password":"wrong wrong wrong"}`, 401)
	do("", "POST", "/v1/login", `{"name":"`+accountPassword+`","password":"ada"}`, 401) // in the wrong fields
	do("", "POST", "/v1/login", `{"name":"ada","password":"`+accountPassword+`","label":"a\u001b[31mb"}`, 400)
	var in MadeToken
	if err := json.Unmarshal([]byte(do("", "POST", "/v1/login", `{"name":"ada","password":"`+accountPassword+
		`","label":"laptop","seconds":3600}`, 200)), &in); err != nil {
		t.Fatal(err)
	}
	var me Me
	if err := json.Unmarshal([]byte(do(in.Secret, "GET", "/v1/me", "", 200)), &me); err != nil || me.Name != "ada" ||
		me.Role != account.Operator || me.Until.IsZero() {
		t.Errorf("me = %+v, %v", me, err)
	}
	do(in.Secret, "GET", "/v1/accounts", "", 403)
	do(in.Secret, "GET", "/v1/audit", "", 403)
	do(in.Secret, "POST", "/v1/tokens", `{"account":"ada","name":"more","role":"admin"}`, 403)
	do(in.Secret, "DELETE", "/v1/machines/52:54:00:00:00:77?recovery=lose", "", 403)
	var second MadeToken
	less := do(in.Secret, "POST", "/v1/tokens", `{"account":"ada","name":"less","role":"viewer"}`, 201)
	if err := json.Unmarshal([]byte(less), &second); err != nil {
		t.Fatal(err)
	}
	do(second.Secret, "POST", "/v1/machines/52:54:00:00:00:77/cancel", "", 403)
	if said := do(second.Secret, "GET", "/v1/tokens", "", 200); !strings.Contains(said, second.Token.ID) {
		t.Errorf("its tokens: %s", said)
	}
	do(in.Secret, "POST", "/v1/logout", "", 204)
	do(in.Secret, "GET", "/v1/me", "", 401) // replayed
	do(adminToken, "POST", "/v1/logout", "", 409)
	do(adminToken, "PATCH", "/v1/accounts/ada", `{"role":"publisher"}`, 400)
	do(adminToken, "PATCH", "/v1/accounts/ada", `{"role":"publisher","prefixes":["web*"]}`, 200)
	do(adminToken, "DELETE", "/v1/accounts/ada", "", 204)
	do(second.Secret, "GET", "/v1/me", "", 401)
	all, err := s.accounts.Entries(t.Context(), 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	lines := map[string]int{}
	for _, e := range all {
		lines[fmt.Sprintf("%s %s %s %s", e.Who, e.Call, e.On, e.Outcome)]++
	}
	for _, want := range []string{"admin.token POST /v1/accounts ada, operator done", "ada POST /v1/login laptop done",
		"unknown POST /v1/login login refused", "ada POST /v1/login login refused", "ada GET /v1/audit  refused",
		"ada POST /v1/logout  done", "admin.token DELETE /v1/accounts/{name} ada done"} {
		if lines[want] == 0 {
			t.Errorf("the log lacks %q: %v", want, lines)
		}
	}
	b, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{accountPassword, in.Secret, second.Secret, "wrong wrong"} {
		if bytes.Contains(b, []byte(secret)) || bytes.Contains(s.log.Bytes(), []byte(secret)) {
			t.Errorf("a log has %q", secret)
		}
	}
}

// TestNothingWithoutAudit has a log that cannot be written: no changing call is done, and reading goes on.
func TestNothingWithoutAudit(t *testing.T) {
	s := newSite(t)
	s.accounts.Close()
	for _, r := range s.handler.Routes() {
		method, path, _ := strings.Cut(r.Pattern, " ")
		if r.Who != Operators || r.Reads || strings.Contains(path, "{id}") {
			continue
		}
		path = strings.NewReplacer("{key}", "52:54:00:00:00:77", "{name}", "none").Replace(path)
		if status, said := s.ask(adminToken, method, path, `{"image":"web","disk":"largest"}`); status != 503 ||
			!strings.Contains(said, "the audit log cannot be written, so nothing was changed") {
			t.Errorf("%s = %d %s", r.Pattern, status, said)
		}
	}
	if status, said := s.ask(adminToken, "GET", "/v1/machines", ""); status != 200 ||
		strings.Contains(said, "52:54:00:00:00:77") {
		t.Errorf("the list is %d %s", status, said)
	}
	if slices.ContainsFunc(s.handler.Routes(), func(r Route) bool { return r.Who == Operators && r.Role == "" }) {
		t.Error("a route has no role")
	}
}
