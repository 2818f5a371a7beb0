package ref

import (
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		in   string
		want Ref
		why  string // part of the error; "" for none
	}{
		{"web", Ref{Name: "web"}, ""},
		{"web:latest", Ref{Name: "web", Version: "latest"}, ""},
		{"lab/web:20261120.1@amd64", Ref{"lab", "web", "20261120.1", "amd64"}, ""},
		{"web@arm64", Ref{Name: "web", Arch: "arm64"}, ""},
		{"a.b_c-d:1.0~rc1+x-2", Ref{Name: "a.b_c-d", Version: "1.0~rc1+x-2"}, ""},
		{"web:stable", Ref{Name: "web", Version: "stable"}, ""},
		{"", Ref{}, "the name is empty"},
		{"Web", Ref{}, `'W' is not allowed in a name`},
		{"-web", Ref{}, `a name does not begin with '-'`},
		{"../web", Ref{}, `a namespace does not begin with '.'`},
		{"a/b/c", Ref{}, "at most one slash"},
		{"/web", Ref{}, "no namespace before the slash"},
		{"lab/", Ref{}, "the name is empty"},
		{"web:", Ref{}, "no version after the colon"},
		{"web:1:2", Ref{}, "a version has no colon"},
		{"web:1@", Ref{}, "no architecture after @"},
		{"web:1@amd64@x", Ref{}, `'@' is not allowed in a architecture`},
		{"web:1 2", Ref{}, `' ' is not allowed in a version`},
		{"web*", Ref{}, `'*' is not allowed in a name`},
		{"wéb", Ref{}, `'é' is not allowed in a name`},
		{strings.Repeat("a", 65), Ref{}, "longer than 64"},
		{"web:" + strings.Repeat("1", 65), Ref{}, "longer than 64"},
	} {
		got, err := Parse(c.in)
		switch {
		case c.why == "" && (err != nil || got != c.want):
			t.Errorf("ParseRef(%q) = %+v, %v, want %+v", c.in, got, err, c.want)
		case c.why == "" && got.String() != c.in:
			t.Errorf("ParseRef(%q).String() = %q", c.in, got.String())
		case c.why != "" && (!errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), c.why)):
			t.Errorf("ParseRef(%q) = %v, want an error with %q", c.in, err, c.why)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"web", "lab/web:20261120.1@amd64", "web:latest", "a/b/c", ":@/", "web:1~@x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := Parse(s)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Errorf("ParseRef(%q) = %v, which is no ErrRef", s, err)
			}
			return
		}
		if r.String() != s {
			t.Errorf("ParseRef(%q).String() = %q", s, r.String())
		}
		if strings.ContainsAny(r.FileName(), "/\x00: ") || strings.HasPrefix(r.FileName(), ".") {
			t.Errorf("FileName of %q = %q", s, r.FileName())
		}
		if flt, err := ParseFilter(s); err != nil || r.Exact() && !flt.Match(r) {
			t.Errorf("ParseFilter(%q) = %v, %v, which does not match itself", s, flt, err)
		}
	})
}

func TestFilter(t *testing.T) {
	for _, c := range []struct {
		filter, refOf string
		want          bool
	}{
		{"web", "web:1@amd64", true}, {"web", "web2:1@amd64", false}, {"web", "lab/web:1@amd64", false},
		{"web*", "web2:1@amd64", true}, {"*", "web:1@amd64", true}, {"*", "lab/web:1@amd64", false},
		{"*/*", "lab/web:1@amd64", true}, {"*/*", "web:1@amd64", true},
		{"lab/*:2026*", "lab/web:20261120.1@amd64", true}, {"web:2*1", "web:20261120.1@amd64", true},
		{"web:2*1", "web:20261120.2@amd64", false}, {"web@arm*", "web:1@arm64", true},
		{"web@arm*", "web:1@amd64", false}, {"*b*:*", "web:1@amd64", true},
	} {
		f, err := ParseFilter(c.filter)
		if err != nil {
			t.Errorf("ParseFilter(%q): %v", c.filter, err)
			continue
		}
		if got := f.Match(refOf(t, c.refOf)); got != c.want {
			t.Errorf("%q matches %q = %v, want %v", c.filter, c.refOf, got, c.want)
		}
	}
	for _, bad := range []string{"", "web:", "WEB*", "a*/b*/c*", "[a]"} {
		if _, err := ParseFilter(bad); !errors.Is(err, ErrInvalid) {
			t.Errorf("ParseFilter(%q) = %v, want %v", bad, err, ErrInvalid)
		}
	}
}

func TestCompareVersions(t *testing.T) {
	ordered := []string{"~~", "~~a", "~", "0~", "", "1.0~rc1", "1.0", "1.0-1", "1.0-2", "1.0a", "1.0+1", "1.0.1", "1.2",
		"1.10", "2", "10", "20261120.1", "20261120.2", "20261120.10", "20261121.1", "a", "z"}
	for i, a := range ordered {
		for j, b := range ordered {
			if got := CompareVersions(a, b); (got < 0) != (i < j) || (got > 0) != (i > j) {
				t.Errorf("CompareVersions(%q, %q) = %d, want the order of %d and %d", a, b, got, i, j)
			}
		}
	}
	if got := CompareVersions("1.02", "1.2"); got != 0 {
		t.Errorf("CompareVersions(1.02, 1.2) = %d, want 0", got)
	}
}

// TestCompareVersionsAsDpkg asks the peer.
func TestCompareVersionsAsDpkg(t *testing.T) {
	dpkg := need(t, "dpkg")
	versions := []string{"0", "1", "1.0~rc1", "1.0", "1.0-1", "1.0-1.1", "1.0-", "1.0+dfsg", "1.0a", "10", "2", "9.9.9",
		"1~~", "1~", "1+", "1.a", "1.-1"}
	for _, a := range versions {
		for _, b := range versions {
			if strings.HasSuffix(a, "-") || strings.HasSuffix(b, "-") {
				continue // dpkg refuses an empty revision
			}
			got := CompareVersions(a, b)
			for op, want := range map[string]bool{"lt": got < 0, "eq": got == 0} {
				if yes := exec.Command(dpkg, "--compare-versions", a, op, b).Run() == nil; yes != want {
					t.Errorf("CompareVersions(%q, %q) = %d, but dpkg says %s is %v", a, b, got, op, yes)
				}
			}
		}
	}
}

func FuzzCompareVersions(f *testing.F) {
	f.Add("1.0~rc1", "1.0", "1.0a")
	f.Add("20261120.1", "20261120.10", "2")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		sign := func(n int) int { return min(1, max(-1, n)) }
		ab, ba, bc, ac := sign(CompareVersions(a, b)), sign(CompareVersions(b, a)), sign(CompareVersions(b, c)),
			sign(CompareVersions(a, c))
		if ab != -ba {
			t.Errorf("%q against %q is %d, the other way round %d", a, b, ab, ba)
		}
		if ab <= 0 && bc <= 0 && ac > 0 {
			t.Errorf("%q <= %q <= %q, but not the ends", a, b, c)
		}
	})
}

func TestNextVersion(t *testing.T) {
	// 00:30 of the 21st in Berlin is the 20th in UTC.
	now := time.Date(2026, 11, 21, 0, 30, 0, 0, time.FixedZone("CET", 3600))
	for _, c := range []struct {
		taken []string
		want  string
	}{
		{nil, "20261120.1"},
		{[]string{"20261120.1"}, "20261120.2"},
		{[]string{"20261120.2", "20261119.7", "9"}, "20261120.3"},
		{[]string{"20261120.9", "20261120.10"}, "20261120.11"},
	} {
		if got := NextVersion(now, c.taken); got != c.want {
			t.Errorf("nextVersion(%q) = %s, want %s", c.taken, got, c.want)
		}
	}
}

func need(t testing.TB, program string) string {
	t.Helper()
	p, err := exec.LookPath(program)
	if err != nil {
		t.Fatalf("%s is not installed: run make deps", program)
	}
	return p
}

func refOf(t testing.TB, s string) Ref {
	t.Helper()
	r, err := Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
