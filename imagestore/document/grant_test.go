package document_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"griddle/imagestore/document"
	"griddle/imagestore/imagetest"
	"griddle/imagestore/minisign"
)

// TestGrantAdmits has the names that somebody with a key for some of them would try.
func TestGrantAdmits(t *testing.T) {
	k := imagetest.NewKey(t)
	for _, c := range []struct {
		patterns string
		ref      string
		want     bool
	}{
		{"", "web:1@amd64", true}, {"", "lab/web:1@amd64", true},
		{"web", "web:1@amd64", true}, {"web", "web:9.9@arm64", true},
		{"web", "webx:1@amd64", false}, {"web", "we:1@amd64", false}, {"web", "xweb:1@amd64", false},
		{"web", "lab/web:1@amd64", false}, {"web", "web/web:1@amd64", false}, {"web", "web/x:1@amd64", false},
		{"web*", "web:1@amd64", true}, {"web*", "webx:1@amd64", true}, {"web*", "web/x:1@amd64", false},
		{"web*", "aweb:1@amd64", false}, {"*", "web:1@amd64", true}, {"*", "lab/web:1@amd64", false},
		{"*/*", "web:1@amd64", true}, {"*/*", "lab/web:1@amd64", true},
		{"team/*", "team/x:1@amd64", true}, {"team/*", "team2/x:1@amd64", false}, {"team/*", "team:1@amd64", false},
		{"team/*", "x/team:1@amd64", false}, {"team*/web", "team2/web:1@amd64", true},
		{"team*/web", "web:1@amd64", false}, {"db web", "web:1@amd64", true}, {"db web", "dbweb:1@amd64", false},
		{"a.b", "axb:1@amd64", false},
	} {
		g := imagetest.GrantOf(t, k, strings.Fields(c.patterns)...)
		for what, err := range map[string]error{"Image": g.Image(imagetest.Ref(t, c.ref)),
			"Stream": g.Stream(imagetest.Ref(t, c.ref))} {
			if (err == nil) != c.want || err != nil && !errors.Is(err, minisign.ErrSignature) {
				t.Errorf("%s(%s) of a key for %q = %v, want %v", what, c.ref, c.patterns, err, c.want)
			}
		}
		again, err := document.ParseGrant(g.String())
		if err != nil || again.String() != g.String() || again.Key() != k.Public() {
			t.Errorf("ParseGrant(%q) = %q, %v", g, again, err)
		}
	}
	for _, bad := range []string{"web/../x", "../web", "web/x/y", "Web", "WEB*", "web:1", "web@amd64", "@streams", "/",
		"web/", "/web", "", "wéb", "web x", "web\n", strings.Repeat("a", 65)} {
		if _, err := document.NewGrant(k.Public(), bad); err == nil {
			t.Errorf("NewGrant with the pattern %q gave no error", bad)
		}
	}
	if _, err := document.NewGrant(k.Public(), strings.Fields(strings.Repeat("a ", 65))...); err == nil {
		t.Error("NewGrant with 65 patterns gave no error")
	}
}

func TestParseGrant(t *testing.T) {
	k := imagetest.NewKey(t).Public()
	for _, c := range []struct {
		line          string
		site, streams bool
		limited, bad  bool
	}{
		{line: k.String()}, {line: "  " + k.String() + "\n"}, {line: string(k.File())},
		{line: k.String() + " web team/*", limited: true},
		{line: k.String() + " @streams", streams: true, limited: true},
		{line: k.String() + " @site", site: true, streams: true, limited: true},
		{line: k.String() + " @site web", bad: true}, {line: k.String() + " @Site", bad: true},
		{line: k.String() + " @", bad: true}, {line: "", bad: true}, {line: "web " + k.String(), bad: true},
		{line: k.String()[1:], bad: true},
	} {
		g, err := document.ParseGrant(c.line)
		if (err != nil) != c.bad || g.Site() != c.site || g.Streams() != c.streams || g.Limited() != c.limited {
			t.Errorf("ParseGrant(%q) = %q, %v, want %+v", c.line, g, err, c)
		}
	}
	site, streams := document.SiteGrant(k), document.StreamsGrant(k)
	for _, g := range []document.Grant{site, streams} {
		if err := g.Image(imagetest.Ref(t, "web:1@amd64")); !errors.Is(err, minisign.ErrSignature) {
			t.Errorf("%q signs images: %v", g, err)
		}
		if err := g.Stream(imagetest.Ref(t, "web:1@amd64")); err != nil {
			t.Errorf("%q does not sign streams: %v", g, err)
		}
	}
}

func TestTrustRevoke(t *testing.T) {
	k, other := imagetest.NewKey(t), imagetest.NewKey(t)
	twin := imagetest.TwinOf(t, k.Public(), other.Public())
	trust := document.NewTrust(k.Public())
	trust.Add(twin)
	if g, err := trust.Find(k.Public().ID()); err != nil || document.KeyOf(g) != k.Public() {
		t.Errorf("a key with a taken ID replaced the first: %v, %v", g, err)
	}
	trust.Revoke(k.Public(), time.Unix(1.7e9, 0))
	trust.Add(k.Public())
	if _, err := trust.Find(k.Public().ID()); !errors.Is(err, minisign.ErrSignature) ||
		!strings.Contains(err.Error(), "revoked here on 2023-11-14") {
		t.Errorf("find of a revoked key = %v", err)
	}
	if n := len(trust.Grants()) + len(trust.Keys()); n != 0 {
		t.Errorf("a revoked key is listed as trusted")
	}
}

func FuzzParseGrant(f *testing.F) {
	k, err := minisign.GenerateKey()
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{"", " @site", " @streams", " web* team/*", " */*", " web/../x"} {
		f.Add(k.Public().String() + s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		g, err := document.ParseGrant(line)
		if err != nil {
			return
		}
		if again, err := document.ParseGrant(g.String()); err != nil || again.String() != g.String() ||
			again.Site() != g.Site() {
			t.Errorf("ParseGrant(%q) = %q, read again %q, %v", line, g, again, err)
		}
	})
}
