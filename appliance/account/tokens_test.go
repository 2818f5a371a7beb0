package account

import (
	"errors"
	"slices"
	"testing"
	"time"
)

// TestMakeToken makes tokens as each role: no one gets more than they have.
func TestMakeToken(t *testing.T) {
	s, c, _ := open(t)
	ctx := t.Context()
	add(t, s, "ada", Operator)
	add(t, s, "ci", Publisher, "web*")
	later := c.Add(time.Hour)
	operator := Who{Name: "ada", Role: Operator, Token: "t1", Until: later}
	for name, tc := range map[string]struct {
		by   Who
		n    NewToken
		want error
		role Role
	}{
		"admin for an account":         {admin, NewToken{Account: "ada", Name: "x"}, nil, Operator},
		"admin, less":                  {admin, NewToken{Account: "ada", Name: "x", Role: Viewer}, nil, Viewer},
		"admin, more than the account": {admin, NewToken{Account: "ada", Name: "x", Role: Admin}, nil, Operator},
		"admin, no account":            {admin, NewToken{Name: "x", Role: Admin}, nil, Admin},
		"no role":                      {admin, NewToken{Name: "x"}, ErrInvalid, ""},
		"unknown account":              {admin, NewToken{Account: "eve", Name: "x"}, ErrUnknown, ""},
		"no name":                      {admin, NewToken{Account: "ada"}, ErrInvalid, ""},
		"a line feed":                  {admin, NewToken{Account: "ada", Name: "a\nb"}, ErrInvalid, ""},
		"over already":                 {admin, NewToken{Account: "ada", Name: "x", Until: c.Time}, ErrInvalid, ""},
		"own":                          {operator, NewToken{Account: "ada", Name: "x"}, nil, Operator},
		"own, less":                    {operator, NewToken{Account: "ada", Name: "x", Role: Viewer}, nil, Viewer},
		"own, more":                    {operator, NewToken{Account: "ada", Name: "x", Role: Admin}, ErrMore, ""},
		"own, other": {operator, NewToken{Account: "ada", Name: "x", Role: Publisher,
			Prefixes: []string{"*"}}, ErrMore, ""},
		"another's":    {operator, NewToken{Account: "ci", Name: "x"}, ErrMore, ""},
		"no account's": {operator, NewToken{Name: "x", Role: Viewer}, ErrMore, ""},
		"by a viewer's token of an operator": {Who{Name: "ada", Role: Viewer}, NewToken{Account: "ada", Name: "x"},
			nil, Viewer},
		"a publisher's": {Who{Name: "ci", Role: Publisher, Prefixes: []string{"web*"}},
			NewToken{Account: "ci", Name: "x", Role: Publisher, Prefixes: []string{"*"}}, nil, Publisher},
	} {
		secret, token, err := s.MakeToken(ctx, tc.by, tc.n)
		if !errors.Is(err, tc.want) || (err == nil) != (tc.want == nil) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
			continue
		}
		if err != nil {
			continue
		}
		w, err := s.Find(ctx, secret)
		if err != nil || w.Role != tc.role || w.Token != token.ID {
			t.Errorf("%s: Find() = %+v, %v, want the role %s", name, w, err, tc.role)
		}
		if tc.by.Name == "ada" && !tc.by.Until.IsZero() && !w.Until.Equal(later) {
			t.Errorf("%s: it is valid until %s, longer than the token that made it", name, w.Until)
		}
		if tc.role == Publisher && !slices.Equal(w.Prefixes, []string{"web*"}) {
			t.Errorf("%s: it publishes %q", name, w.Prefixes)
		}
	}
	mine, err := s.Tokens(ctx, operator)
	if err != nil || len(mine) == 0 || slices.ContainsFunc(mine, func(k Token) bool { return k.Account != "ada" }) {
		t.Errorf("an operator sees the tokens %+v, %v", mine, err)
	}
	all, err := s.Tokens(ctx, admin)
	if err != nil || len(all) <= len(mine) {
		t.Errorf("an admin sees %d tokens, %v", len(all), err)
	}
	for _, k := range all {
		err := s.DeleteToken(ctx, operator, k.ID)
		if k.Account == "ada" && err != nil || k.Account != "ada" && !errors.Is(err, ErrUnknown) {
			t.Errorf("an operator deletes a token of %q: %v", k.Account, err)
		}
	}
	if err := s.DeleteToken(ctx, admin, "nothing"); !errors.Is(err, ErrUnknown) {
		t.Errorf("deleting what is not there: %v", err)
	}
}

// TestDeletedTokenIsWorthless uses a token after it was deleted, and looks at its last use.
func TestDeletedTokenIsWorthless(t *testing.T) {
	s, c, _ := open(t)
	ctx := t.Context()
	secret, token, err := s.MakeToken(ctx, admin, NewToken{Name: "ci", Role: Operator})
	if err != nil {
		t.Fatal(err)
	}
	use := func(want time.Time) {
		t.Helper()
		if w, err := s.Find(ctx, secret); err != nil || w.Name != "token ci" {
			t.Fatalf("Find() = %+v, %v", w, err)
		}
		if k, err := s.token(ctx, token.ID); err != nil || !k.Used.Equal(want) {
			t.Errorf("its last use was %s, %v, want %s", k.Used, err, want)
		}
	}
	first := c.Time
	use(first)
	c.Time = c.Add(time.Minute)
	use(first) // not exact
	c.Time = c.Add(usedEvery)
	use(c.Time)
	if err := s.DeleteToken(ctx, admin, token.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Find(ctx, secret); !errors.Is(err, ErrToken) {
		t.Errorf("a deleted token: %v", err)
	}
}

// TestTokensAreBounded logs in for ever: expired tokens make room, and without any there is none.
func TestTokensAreBounded(t *testing.T) {
	s, c, _ := open(t)
	ctx := t.Context()
	if _, err := s.db.ExecContext(ctx, `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < ?)
		INSERT INTO tokens SELECT 'i'||i, 'd'||i, NULL, 'x', 'viewer', '[]', 0, '', ?, 0 FROM n`, maxTokens,
		micros(c.Add(time.Hour))); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.MakeToken(ctx, admin, NewToken{Name: "x", Role: Viewer}); !errors.Is(err, ErrInvalid) {
		t.Errorf("one token too many: %v", err)
	}
	c.Time = c.Add(time.Hour)
	if _, _, err := s.MakeToken(ctx, admin, NewToken{Name: "x", Role: Viewer}); err != nil {
		t.Errorf("a token where others expired: %v", err)
	}
	if all, err := s.Tokens(ctx, admin); err != nil || len(all) != 1 {
		t.Errorf("there are %d tokens, %v", len(all), err)
	}
}
