package api

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"griddle/appliance/rule"
)

// TestRules sets, shows and tries the rules of the site. Rules with mistakes, and rules in the place of others than the
// operator has read, are refused, and nothing is changed.
func TestRules(t *testing.T) {
	ctx, s := t.Context(), newSite(t)
	operator := NewClient(s.URL, adminToken, s.tls)
	first, err := operator.Rules(ctx)
	if err != nil || string(first.Rules) != `{"version":1,"rules":[]}` || first.Tag == "" {
		t.Fatalf("Rules() = %+v, %v", first, err)
	}
	const lab = `{"version":1,"rules":[{"name":"lab","match":{"subnet":["10.2.0.0/16"]},"install":{"image":"web",` +
		`"disk":"largest"}},{"name":"absent","boot":"local","install":{"image":"nothing","disk":"largest"}}]}`
	set, err := operator.SetRules(ctx, SetRules{Rules: json.RawMessage(lab), Tag: first.Tag})
	if err != nil || set.Tag == first.Tag || len(set.Warnings) != 1 || !strings.HasPrefix(set.Warnings[0],
		"rule absent installs nothing so far: image nothing: ") {
		t.Fatalf("SetRules() = %+v, %v", set, err)
	}
	for in, want := range map[string]int{
		`{"version":1,"rules":[{"name":"a"}]}`:                           http.StatusBadRequest,
		`{"version":1,"rules":[{"name":"a","boot":"menu","wipe":true}]}`: http.StatusBadRequest,
		`[]`:                        http.StatusBadRequest,
		`{"version":1,"rules":[]} `: http.StatusConflict,
		`{"version":1,"rules":[{"name":"a","match":{"mac":[]},"boot":"menu"}]}`: http.StatusBadRequest,
	} {
		if _, err := operator.SetRules(ctx, SetRules{Rules: json.RawMessage(in),
			Tag: first.Tag}); problem(err).Status !=
			want {
			t.Errorf("SetRules(%s) = %v, want status %d", in, err, want)
		}
	}
	if got, err := operator.Rules(ctx); err != nil || string(got.Rules) != lab || got.Tag != set.Tag {
		t.Errorf("Rules() = %s, %v", got.Rules, err)
	}
	try, err := operator.TryRules(ctx, TryRules{Machine: mac, Address: "10.2.0.7"})
	if err != nil || try.Boot.Rule != "lab" || try.Boot.Gets != "the agent" || try.Hello.Rule != "lab" ||
		try.Hello.Findings[1].Outcome != rule.Later {
		t.Errorf("TryRules() = %+v, %v", try, err)
	}
	try, err = operator.TryRules(ctx, TryRules{Machine: mac, Rules: json.RawMessage(`{"version":1,"rules":[]}`)})
	if err != nil || try.Boot.Rule != "" || try.Boot.Gets != "the menu" {
		t.Errorf("TryRules() of others = %+v, %v", try, err)
	}
	for _, in := range []TryRules{{Machine: "absent"}, {Machine: mac, Address: "10.2"}, {Machine: mac, MAC: "x"},
		{Machine: mac, Rules: json.RawMessage(`{}`)}} {
		if _, err := operator.TryRules(ctx, in); problem(err).Status != http.StatusBadRequest &&
			problem(err).Status != http.StatusNotFound {
			t.Errorf("TryRules(%+v) = %v", in, err)
		}
	}
}
