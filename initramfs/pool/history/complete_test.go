package history

import (
	"slices"
	"testing"
)

func TestMissing(t *testing.T) {
	one := map[string]string{"one": "image-1"}
	both := map[string]string{"one": "image-1", "two": "image-2"}
	event := func(k Kind, root string) Event { return Event{Kind: k, Root: root} }
	was := []Event{event(Blessed, "one")}
	tests := []struct {
		name      string
		events    []Event
		roots     map[string]string
		candidate string
		want      []Event
	}{
		{"nothing is missing", append(was, event(Made, "two"), event(Switched, "two")),
			both, "two", nil},
		{"a pool of an earlier version", nil, one, "", nil},
		{"roots of an earlier version", was, both, "two", nil},
		{"the switch", append(was, event(Made, "two")), both, "two",
			[]Event{{Kind: Switched, Root: "two", Image: "image-2"}}},
		{"a root that was never durable", append(was, Event{Kind: Made, Root: "two", Image: "image-2"}),
			one, "", []Event{{Kind: Deleted, Root: "two", Image: "image-2"}}},
		{"the deletion", append(was, event(Made, "two"), event(Failed, "two")), one, "",
			[]Event{{Kind: Deleted, Root: "two"}}},
		{"the making after a deletion", append(was, event(Made, "two"), event(Deleted, "two")),
			both, "", []Event{{Kind: Made, Root: "two", Image: "image-2"}}},
		{"the making and the switch", append(was, event(Made, "two"), event(Deleted, "two")),
			both, "two", []Event{{Kind: Made, Root: "two", Image: "image-2"},
				{Kind: Switched, Root: "two", Image: "image-2"}}},
		{"the deletion that did not happen", append(was, event(Deleted, "one")), one, "",
			[]Event{{Kind: Made, Root: "one", Image: "image-1"}}},
		{"the trial runs", append(was, event(Made, "two"), event(Switched, "two"), event(Started, "two")),
			both, "two", nil},
		{"events without a root", []Event{{Kind: Deleted, Image: "image-0"}}, one, "", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for i := range tt.want {
				tt.want[i].Reason = reasonLater
			}
			got := missing(slices.Clone(tt.events), tt.roots, tt.candidate)
			if !slices.EqualFunc(got, tt.want, func(a, b Event) bool {
				return a.Kind == b.Kind && a.Root == b.Root && a.Image == b.Image && a.Reason == b.Reason
			}) {
				t.Errorf("missing = %+v, want %+v", got, tt.want)
			}
			if again := missing(append(slices.Clone(tt.events), got...), tt.roots, tt.candidate); len(again) > 0 {
				t.Errorf("and then %+v", again)
			}
		})
	}
}
