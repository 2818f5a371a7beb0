package account

import (
	"slices"
	"testing"

	"griddle/imagestore/ref"
)

// may is the whole table of what roles may do.
var may = map[Role][]Role{
	Viewer:    {Viewer},
	Operator:  {Viewer, Operator},
	Publisher: {Viewer, Publisher},
	Admin:     {Viewer, Operator, Publisher, Admin},
	"":        nil,
	"root":    nil,
	"Admin":   nil,
}

func TestMay(t *testing.T) {
	for r, want := range may {
		for needs := range may {
			if got := r.May(needs); got != slices.Contains(want, needs) {
				t.Errorf("Role(%q).May(%q) = %v, want %v", r, needs, got, !got)
			}
		}
	}
}

// TestWithin compares what a token allows with what both it and its account allow.
func TestWithin(t *testing.T) {
	for token := range may {
		for account := range may {
			got, _ := within(token, []string{"*"}, account, []string{"*"})
			for needs := range may {
				want := account.May(needs) && (token == "" || token.May(needs))
				if got.May(needs) != want {
					t.Errorf("a token for %q of an account with %q may do what needs %q: %v", token, account, needs,
						!want)
				}
			}
		}
	}
	for _, c := range []struct {
		token, account []string
		name           string
		want           bool
	}{
		{[]string{"web*"}, []string{"*"}, "web-lab:1", true},
		{[]string{"web*"}, []string{"*"}, "db:1", false},
		{[]string{"*"}, []string{"web*"}, "db:1", false},
		{[]string{"*"}, []string{"web*"}, "web:1", true},
		{[]string{"web", "db"}, []string{"db"}, "db:1", true},
		{[]string{"web", "db"}, []string{"db"}, "web:1", false},
		{[]string{"team/*"}, []string{"*"}, "team/web:1", false}, // * admits no namespace
		{[]string{"team/w*"}, []string{"team/*"}, "team/web:1", true},
		{[]string{"team/*"}, []string{"team/web*"}, "team/db:1", false},
		{[]string{"*-lab"}, []string{"web*"}, "web-lab:1", false}, // two that only overlap allow nothing
	} {
		role, patterns := within(Publisher, c.token, Publisher, c.account)
		name, err := ref.Parse(c.name)
		if err != nil {
			t.Fatal(err)
		}
		if got := (Who{Role: role, Prefixes: patterns}).Publishes(name); got != c.want {
			t.Errorf("a token for %q of an account for %q publishes %s: %v, want %v", c.token, c.account, c.name, got,
				c.want)
		}
		if both := admit(c.token, name) && admit(c.account, name); c.want && !both {
			t.Errorf("the case %+v expects more than both allow", c)
		}
	}
}

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		name     string
		role     Role
		patterns []string
		ok       bool
	}{
		{"ada", Viewer, nil, true},
		{"ada@example.org", Operator, nil, true},
		{"ci", Publisher, []string{"web*", "team/*"}, true},
		{"ci", Publisher, nil, false},
		{"ci", Publisher, []string{"Web*"}, false},
		{"ci", Publisher, []string{"web:1"}, false},
		{"ci", Publisher, []string{"web@arm64"}, false},
		{"ci", Publisher, make([]string, maxPrefixes+1), false},
		{"ada", Viewer, []string{"web*"}, false},
		{"ada", "root", nil, false},
		{"ada", "", nil, false},
		{"", Viewer, nil, false},
		{"Ada", Viewer, nil, false},
		{"-ada", Viewer, nil, false},
		{"ada\n", Viewer, nil, false},
		{"token x", Viewer, nil, false},
		{AdminToken, Viewer, nil, false},
	} {
		name, role := checkName(c.name), checkRole(c.role, c.patterns)
		if ok := name == nil && role == nil; ok != c.ok {
			t.Errorf("%q, %q, %q: %v, %v, want ok %v", c.name, c.role, c.patterns, name, role, c.ok)
		}
	}
}

func FuzzCheckRole(f *testing.F) {
	f.Add("publisher", "web*")
	f.Add("viewer", "team/*:1@x")
	f.Fuzz(func(t *testing.T, role, pattern string) {
		if checkRole(Role(role), []string{pattern}) == nil && Role(role) != Publisher {
			t.Errorf("the role %q has patterns", role)
		}
	})
}

func FuzzDecodeHash(f *testing.F) {
	f.Add(encodeHash(cost(), make([]byte, saltBytes), make([]byte, hashBytes)))
	f.Add("$argon2id$v=19$m=65536,t=3,p=1$AAAA$AAAA")
	f.Fuzz(func(t *testing.T, s string) {
		p, salt, sum, err := decodeHash(s)
		if err == nil && (p.memory > 1<<20 || p.time == 0 || p.lanes == 0 || len(salt) == 0 || len(sum) == 0) {
			t.Errorf("decodeHash(%q) = %+v", s, p)
		}
	})
}
