package catalog

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"griddle/imagestore/blob"
	"griddle/imagestore/document"
	"griddle/imagestore/imagetest"
)

// listed is a view with images of web: version, and the parents of its streams ("" for none).
func listedView(t *testing.T, images map[string][]string) *View {
	t.Helper()
	v, err := Replay(nil)
	if err != nil {
		t.Fatal(err)
	}
	key := imagetest.NewKey(t).Public()
	for version, parents := range images {
		l := Listed{Signer: key.ID(), Ref: "web:" + version + "@amd64", Template: "web", Version: version,
			Arch: "amd64", Document: blob.Sum([]byte(version)), Published: time.Unix(1.7e9, 0)}
		for _, p := range parents {
			s := ListedStream{Raw: 1, Wire: 10, Signer: key.ID()}
			if p == "" {
				s.Wire = 100
			} else {
				s.Parent = "web:" + p + "@amd64"
			}
			l.Streams = append(l.Streams, s)
		}
		if err := v.apply(&Entry{Seq: 1, Kind: KindPublish, Image: &l}); err != nil {
			t.Fatal(err)
		}
	}
	return v.With(document.NewTrust(key))
}

func TestFallOut(t *testing.T) {
	now := time.Unix(1.7e9, 0).Add(100 * time.Hour)
	for _, c := range []struct {
		name  string
		rules []Keep
		want  string
	}{
		{"no rule", nil, ""},
		{"another template's", []Keep{{Pattern: "db", Last: 1}}, ""},
		{"last", []Keep{{Pattern: "web", Last: 2}}, "3 1"},
		{"all newer", []Keep{{Pattern: "w*", Newer: 101 * 3600}}, ""},
		{"none newer", []Keep{{Pattern: "w*", Newer: 99 * 3600}}, "4 3 1"},
		{"either", []Keep{{Pattern: "*", Last: 1}, {Pattern: "web", Last: 4}}, "1"},
		{"another namespace", []Keep{{Pattern: "shop*/*", Last: 1}}, ""},
	} {
		v := listedView(t, map[string][]string{"1": {""}, "2": {""}, "3": {""}, "4": {""}, "5": {""}})
		v.channels["web"] = map[string]string{"stable": "2"}
		v.complete()
		v.keeps = c.rules
		var got []string
		for _, l := range v.FallOut(now) {
			got = append(got, l.Ref)
		}
		if imagetest.Versions(got) != c.want {
			t.Errorf("%s: %q falls out, want %q", c.name, imagetest.Versions(got), c.want)
		}
	}
}

func TestPlanGC(t *testing.T) {
	for _, c := range []struct {
		name                  string
		images                map[string][]string
		out                   []string
		derive                bool
		remove, derives, kept string
	}{
		{"chain, with a key", map[string][]string{"1": {""}, "2": {"1"}, "3": {"2"}, "4": {"3"}}, []string{"1", "2"},
			true, "2 1", "3", ""},
		{"chain, without", map[string][]string{"1": {""}, "2": {"1"}, "3": {"2"}, "4": {"3"}}, []string{"1", "2"},
			false, "", "", "1 2"},
		{"another way", map[string][]string{"1": {""}, "2": {"1"}, "3": {"2", ""}}, []string{"1", "2"},
			false, "2 1", "", ""},
		{"backwards", map[string][]string{"1": {"2"}, "2": {"3"}, "3": {""}}, []string{"1", "2"}, false, "1 2", "", ""},
		{"a branch", map[string][]string{"1": {""}, "2": {"1"}, "3": {"1"}}, []string{"1", "2"}, false, "2", "", "1"},
		{"broken before", map[string][]string{"1": {"0"}, "2": {""}}, []string{}, false, "", "", ""},
	} {
		v := listedView(t, c.images)
		var out []*Listed
		for _, o := range c.out {
			out = append(out, v.images["web:"+o+"@amd64"])
		}
		p := v.PlanRemoval(out, func(string) bool { return c.derive })
		if imagetest.Versions(p.Remove) != c.remove || imagetest.Versions(p.Derive) != c.derives ||
			imagetest.Versions(p.Kept) != c.kept {
			t.Errorf("%s: remove %q, derive %q, keep %q; want %q, %q, %q", c.name,
				imagetest.Versions(p.Remove), imagetest.Versions(p.Derive),
				imagetest.Versions(p.Kept), c.remove, c.derives, c.kept)
		}
	}
}

// TestPlanGCOrder makes random graphs: at no point of the plan is an image cut off that was not.
func TestPlanGCOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		images := map[string][]string{}
		n := 2 + r.IntN(8)
		for i := range n {
			var parents []string
			for range 1 + r.IntN(3) {
				if p := r.IntN(n + 2); p >= n {
					parents = append(parents, "")
				} else if p != i {
					parents = append(parents, fmt.Sprint(p))
				}
			}
			images[fmt.Sprint(i)] = parents
		}
		v := listedView(t, images)
		var out []*Listed
		for _, l := range v.Sorted()[1:] {
			if r.IntN(2) == 0 {
				out = append(out, l)
			}
		}
		can := r.IntN(1 << 10) // a bit for each version
		p := v.PlanRemoval(out, func(ref string) bool { return can>>(v.images[ref].Version[0]-'0')&1 == 1 })
		left := v.promising(p.Derive)
		for _, ref := range p.Remove {
			delete(left.images, ref)
			for _, l := range v.keptWays().cut(left) {
				t.Fatalf("%v: removing %s of %s cuts off %s", images, ref, imagetest.Versions(p.Remove), l.Ref)
			}
		}
	}
}
