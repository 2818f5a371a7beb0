package yamltree

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// TestDecode takes a tree apart that has each kind of fault: all come at once, by place.
func TestDecode(t *testing.T) {
	const in = `name: a
count: 70
wait: 5
flag: yes
list: [a, [b], c]
pick: [red, blu, red]
made: {x: {}, y: }
size: {}
tokens:
nmae: b
text: "two\nlines"
`
	r := NewReader("f")
	r.Places = map[string]Place{}
	r.Shapes = map[string][]string{}
	var name string
	var list, pick []string
	r.Object(r.Read([]byte(in), Options{}), "", "top", []Field{
		Key("name", func(n *Node, path string) { name, _ = r.Line(n, path, "a name", 10) }),
		Key("count", func(n *Node, path string) { r.Number(n, path, 1, 64) }),
		Key("wait", func(n *Node, path string) { r.Duration(n, path, time.Second, time.Minute) }),
		Key("flag", func(n *Node, path string) { r.Boolean(n, path) }),
		Key("list", func(n *Node, path string) {
			r.List(n, path, 3, func(n *Node, path string) {
				if s, ok := r.Line(n, path, "a word", 10); ok {
					list = append(list, s)
				}
			})
		}),
		Key("pick", func(n *Node, path string) {
			pick = r.References(n, path, "colour", 10, []string{"red", "blue"})
		}),
		Key("made", func(n *Node, path string) { r.Named(n, path, 5, func(Entry, string) {}) }),
		Key("size", func(n *Node, path string) { r.Object(n, path, "size", nil, "value") }),
		Key("tokens", func(*Node, string) { t.Error("what has no value is read") }),
		Key("text", func(n *Node, path string) { r.Line(n, path, "a line", 20) }),
	}, "name", "owner")
	want := strings.Join([]string{
		`f:1:1: the key owner is missing`,
		`f:2:8: count: 70 is not between 1 and 64`,
		`f:3:7: wait: 5 is not a time such as 30s, 10m or 12h`,
		`f:4:7: flag: it must be true or false, not text; write true`,
		`f:5:11: list[1]: it must be a word, not a list`,
		`f:6:13: pick[1]: no colour is called "blu"; did you mean blue?`,
		`f:6:18: pick[2]: red is in the list twice`,
		`f:7:15: made.y: it has no value; write {} for one without keys`,
		`f:8:7: size: the key value is missing`,
		`f:9:1: tokens: it has no value; leave the key out, or give it a value`,
		`f:10:1: the key "nmae" is unknown; did you mean name?`,
		`f:11:7: text: it must be one line without control characters`,
	}, "\n")
	if got := r.Faults().Error(); got != want {
		t.Errorf("the faults are\n%s\nwant\n%s", got, want)
	}
	if name != "a" || !slices.Equal(list, []string{"a", "c"}) || !slices.Equal(pick, []string{"red"}) {
		t.Errorf("name, list and pick are %q, %q and %q", name, list, pick)
	}
	if r.Places["list[2]"] != (Place{"f", 5, 16}) || !slices.Equal(r.Shapes["size"], nil) ||
		len(r.Shapes["top"]) != 10 {
		t.Errorf("places are %v, shapes %v", r.Places, r.Shapes)
	}
}

// TestSorted orders faults, leaves one of those that are the same, and counts what are too many.
func TestSorted(t *testing.T) {
	var all Faults
	for i := range 700 {
		all = append(all, Fault{Place: Place{"f", 700 - i, 1}, Text: "x"},
			Fault{Place: Place{"f", 700 - i, 1}, Text: "x"})
	}
	got := all.Sorted()
	if len(got) != 501 || got[0].Line != 1 || got[500].Error() != "f:501:1: there are 200 more faults from here on" {
		t.Errorf("Sorted = %d faults, the last %v", len(got), got[len(got)-1])
	}
	if len(all) != 1400 || all[0].Line != 700 {
		t.Error("Sorted changed what it sorts")
	}
	if Faults(nil).Err() != nil {
		t.Error("no fault is an error")
	}
}
