package oidc

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/oauth2-proxy/mockoidc"

	"griddle/appliance/account"
)

// TestVerify has tokens of an identity provider, and others that only look like its.
func TestVerify(t *testing.T) {
	m, err := mockoidc.Run()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Shutdown() })
	other, err := mockoidc.RandomKeypair(2048)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	p := New(Options{Issuer: m.Issuer(), Client: m.ClientID, Now: func() time.Time { return now },
		Roles: map[account.Role][]string{account.Viewer: {"staff"}, account.Operator: {"lab"}, account.Admin: {"it"}}})
	for name, c := range map[string]struct {
		claims jwt.MapClaims // beside or instead of good ones
		key    *mockoidc.Keypair
		raw    func(string) string
		role   account.Role
		want   error
	}{
		"a viewer":               {claims: jwt.MapClaims{"groups": []string{"staff"}}, role: account.Viewer},
		"two groups":             {claims: jwt.MapClaims{"groups": []string{"it", "staff"}}, role: account.Admin},
		"one group":              {claims: jwt.MapClaims{"groups": "lab"}, role: account.Operator},
		"no group of ours":       {claims: jwt.MapClaims{"groups": []string{"students"}}, want: ErrNoRole},
		"no groups":              {claims: jwt.MapClaims{"groups": nil}, want: ErrNoRole},
		"groups of another kind": {claims: jwt.MapClaims{"groups": []any{1, map[string]any{"it": 1}}}, want: ErrNoRole},
		"another client's":       {claims: jwt.MapClaims{"aud": "another"}, want: ErrToken},
		"another issuer":         {claims: jwt.MapClaims{"iss": "https://evil.example"}, want: ErrToken},
		"expired":                {claims: jwt.MapClaims{"exp": now.Add(-time.Hour).Unix()}, want: ErrToken},
		"old":                    {claims: jwt.MapClaims{"iat": now.Add(-time.Hour).Unix()}, want: ErrToken},
		"of the future":          {claims: jwt.MapClaims{"iat": now.Add(time.Hour).Unix()}, want: ErrToken},
		"no name":                {claims: jwt.MapClaims{"preferred_username": ""}, want: ErrToken},
		"no subject":             {claims: jwt.MapClaims{"sub": ""}, want: ErrToken},
		"another key":            {key: other, want: ErrToken},
		"no signature": {raw: func(s string) string { return s[:strings.LastIndexByte(s, '.')+1] },
			want: ErrToken},
		"alg none": {raw: func(s string) string {
			return "eyJhbGciOiJub25lIn0" + s[strings.IndexByte(s, '.'):strings.LastIndexByte(s, '.')+1]
		}, want: ErrToken},
		"no token": {raw: func(string) string { return "x" }, want: ErrToken},
		"too long": {raw: func(s string) string { return s + strings.Repeat("x", maxToken) }, want: ErrToken},
	} {
		claims := jwt.MapClaims{"iss": m.Issuer(), "aud": m.ClientID, "sub": "1", "preferred_username": "Ada",
			"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(), "groups": []string{"lab"}, "jti": name}
		for k, v := range c.claims {
			claims[k] = v
		}
		key := m.Keypair
		if c.key != nil {
			key = c.key
		}
		raw, err := key.SignJWT(claims)
		if err != nil {
			t.Fatal(err)
		}
		if c.raw != nil {
			raw = c.raw(raw)
		}
		id, err := p.Verify(t.Context(), raw)
		if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) || id.Role != c.role {
			t.Errorf("%s: %+v, %v, want %q, %v", name, id, err, c.role, c.want)
		}
		if err == nil && (id.Name != "ada" || id.Subject != m.Issuer()+" 1") {
			t.Errorf("%s: it is %+v", name, id)
		}
		if _, err := p.Verify(t.Context(), raw); c.want == nil && !errors.Is(err, ErrToken) {
			t.Errorf("%s: a second time: %v", name, err)
		}
	}
	gone := New(Options{Issuer: "http://127.0.0.1:1", Client: "x"})
	if _, err := gone.Verify(t.Context(), "x"); !errors.Is(err, ErrUnreachable) {
		t.Errorf("a provider that does not answer: %v", err)
	}
}
