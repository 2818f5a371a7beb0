package api

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/oauth2-proxy/mockoidc"

	"griddle/appliance/account"
	"griddle/appliance/account/oidc"
)

// TestProviderLogin logs in by ID tokens of an identity provider: each counts once, and without a role none does.
func TestProviderLogin(t *testing.T) {
	m, err := mockoidc.Run()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Shutdown() })
	s := newSite(t)
	if status, said := s.ask("", "POST", "/v1/login/provider", `{"token":"x"}`); status != 404 {
		t.Errorf("without a provider = %d %s", status, said)
	}
	s.handler.o.Provider = oidc.New(oidc.Options{Issuer: m.Issuer(), Client: m.ClientID,
		Roles: map[account.Role][]string{account.Operator: {"lab"}}})
	login := func(name, group string) (string, string) {
		raw, err := m.Keypair.SignJWT(jwt.MapClaims{"iss": m.Issuer(), "aud": m.ClientID, "sub": name,
			"preferred_username": name, "groups": []string{group}, "iat": time.Now().Unix(),
			"exp": time.Now().Add(time.Hour).Unix(), "jti": t.Name() + name + group})
		if err != nil {
			t.Fatal(err)
		}
		return raw, `{"token":"` + raw + `","label":"laptop"}`
	}
	raw, body := login("Ada", "lab")
	status, said := s.ask("", "POST", "/v1/login/provider", body)
	var in MadeToken
	if err := json.Unmarshal([]byte(said), &in); err != nil || status != 200 {
		t.Fatalf("a login = %d %s", status, said)
	}
	if status, said := s.ask(in.Secret, "GET", "/v1/me", ""); status != 200 || !strings.Contains(said, `"ada"`) ||
		!strings.Contains(said, `"operator"`) {
		t.Errorf("me = %d %s", status, said)
	}
	if status, said := s.ask("", "POST", "/v1/login/provider", body); status != 401 {
		t.Errorf("the same token again = %d %s", status, said)
	}
	_, body = login("eve", "students")
	if status, said := s.ask("", "POST", "/v1/login/provider", body); status != 403 {
		t.Errorf("without a role = %d %s", status, said)
	}
	if _, err := s.accounts.Add(t.Context(), account.NewAccount{Name: "bob", Role: account.Admin}); err != nil {
		t.Fatal(err)
	}
	_, body = login("bob", "lab")
	if status, said := s.ask("", "POST", "/v1/login/provider", body); status != 409 {
		t.Errorf("the name of a local account = %d %s", status, said)
	}
	if status, said := s.ask("", "GET", "/v1/login", ""); status != 200 || !strings.Contains(said, m.Issuer()) {
		t.Errorf("the ways to log in = %d %s", status, said)
	}
	all, err := s.accounts.Entries(t.Context(), 0, 100)
	if err != nil || len(all) != 2 || all[0].Who != "ada" || all[0].Outcome != account.Done ||
		all[1].Outcome != account.Refused {
		t.Errorf("the audit log has %+v, %v", all, err)
	}
	if b, _ := json.Marshal(all); strings.Contains(string(b), raw) || strings.Contains(s.log.String(), raw) {
		t.Error("a log has the token")
	}
}
