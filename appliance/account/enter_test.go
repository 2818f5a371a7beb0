package account

import (
	"errors"
	"testing"
	"time"
)

// TestEnter has people whom the identity provider knows log in: the role is the one that it gives now, and the name of
// another account is not theirs.
func TestEnter(t *testing.T) {
	s, c, _ := open(t)
	ctx := t.Context()
	add(t, s, "bob", Admin)
	first, token, err := s.Enter(ctx, "https://id 1", "ada", Operator, "laptop", 0)
	if err != nil || token.Account != "ada" || token.Role != Operator || !token.Until.Equal(c.Add(ProviderLogin)) {
		t.Fatalf("Enter() = %+v, %v", token, err)
	}
	if _, _, err := s.Enter(ctx, "https://id 1", "ada.new", Viewer, "laptop", time.Hour); err != nil {
		t.Fatal(err)
	}
	if w, err := s.Find(ctx, first); err != nil || w.Role != Viewer || w.Name != "ada" {
		t.Errorf("the token of before: %+v, %v", w, err)
	}
	for name, c := range map[string]struct {
		subject, name string
		role          Role
		life          time.Duration
		want          error
	}{
		"a local account's name":   {"https://id 2", "bob", Viewer, 0, ErrExists},
		"another person's name":    {"https://id 2", "ada", Viewer, 0, ErrExists},
		"the administrator's name": {"https://id 2", AdminToken, Viewer, 0, ErrInvalid},
		"a hostile name":           {"https://id 2", "a\x1b[31m", Viewer, 0, ErrInvalid},
		"no subject":               {"", "eve", Viewer, 0, ErrInvalid},
		"no role":                  {"https://id 2", "eve", "", 0, ErrInvalid},
		"a publisher":              {"https://id 2", "eve", Publisher, 0, ErrInvalid},
		"too long":                 {"https://id 2", "eve", Viewer, ProviderLogin + time.Minute, ErrInvalid},
	} {
		if _, _, err := s.Enter(ctx, c.subject, c.name, c.role, "x", c.life); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	text := password
	if _, err := s.Set(ctx, "ada", Change{Password: &text}); !errors.Is(err, ErrInvalid) {
		t.Errorf("a password for an account of the identity provider: %v", err)
	}
	if _, _, err := s.Login(ctx, "ada", "", "10.0.0.9", "x", 0); !errors.Is(err, ErrLogin) {
		t.Errorf("a login without a password: %v", err)
	}
}
