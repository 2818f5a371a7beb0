package yamltree

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// shown is a tree in one line, with the place of each value.
func shown(n *Node) string {
	at := fmt.Sprintf("@%d:%d", n.At.Line, n.At.Column)
	var in []string
	switch n.Kind {
	case List:
		for _, v := range n.Items {
			in = append(in, shown(v))
		}
		return at + "[" + strings.Join(in, " ") + "]"
	case Mapping:
		for _, e := range n.Keys {
			in = append(in, fmt.Sprintf("%s@%d:%d=%s", e.Name, e.At.Line, e.At.Column, shown(e.Value)))
		}
		return at + "{" + strings.Join(in, " ") + "}"
	}
	if n.Kind == Text {
		return at + n.Tag + strconv.Quote(n.Raw)
	}
	return fmt.Sprintf("%s%s %v", at, n.Tag, n.Value)
}

func TestRead(t *testing.T) {
	for _, c := range []struct {
		name, in string
		options  Options
		want     string // the tree, or the faults
	}{
		{"nothing", "", Options{}, "@1:1 <nil>"},
		{"a comment", "# x\n---\n", Options{}, "@1:1 <nil>"},
		{"scalars", "a: 1\nb: 1.5\nc: true\nd: text\ne: '1'\nf: null\ng:\nh: |\n  x\n", Options{},
			`@1:1{a@1:1=@1:4 1 b@2:1=@2:4 1.5 c@3:1=@3:4 true d@4:1=@4:4"text" e@5:1=@5:4"1" f@6:1=@6:1 <nil> ` +
				`g@7:1=@7:1 <nil> h@8:1=@8:4"x\n"}`},
		{"columns count characters", "ä: é\n", Options{}, `@1:1{ä@1:1=@1:4"é"}`},
		{"words of YAML 1.1 are text", "[yes, no, on, off, 0o17, 12:30]", Options{},
			`@1:1[@1:2"yes" @1:7"no" @1:11"on" @1:15"off" @1:20 15 @1:26"12:30"]`},
		{"inside one another", "a:\n- b: [1, {c: 2}]\n", Options{},
			`@1:1{a@1:1=@2:1[@2:3{b@2:3=@2:6[@2:7 1 @2:10{c@2:11=@2:14 2}]}]}`},
		{"aliases", "a: &x [1]\nb: *x\n", Options{Aliases: true}, `@1:1{a@1:1=@1:7[@1:8 1] b@2:1=@1:7[@1:8 1]}`},
		{"aliases of nothing", "a: &x\nb: *x\n", Options{Aliases: true}, `@1:1{a@1:1=@1:1 <nil> b@2:1=@1:1 <nil>}`},
		{"aliases refused", "a: &x 1\nb: *x\n", Options{Instead: "use c"},
			"f:1:4: a: anchors (&) and aliases (*) are not allowed; use c\n" +
				"f:2:4: b: anchors (&) and aliases (*) are not allowed; use c"},
		{"an anchor twice", "a: &x 1\nb: &x 2\n", Options{Aliases: true}, "f:2:4: b: the anchor &x is already defined"},
		{"an anchor below", "a: *x\nb: &x 1\n", Options{Aliases: true},
			"f:1:4: a: the anchor &x is not defined before here"},
		{"an anchor in itself", "a: &x [*x]\n", Options{Aliases: true}, "f:1:8: a[0]: the anchor &x is inside itself"},
		{"a key twice", "a: 1\nb: 2\na: 3\n", Options{}, "f:3:1: a: the key is already defined on line 1"},
		{"merge key", "a: {<<: {b: 1}}\n", Options{}, "f:1:5: a: merge keys (<<) are not allowed"},
		{"tag", "a: !!str 1\n", Options{}, `f:1:4: a: tags such as "!!str" are not allowed; put text in quotes`},
		{"keys that are no words", "[1]: 2\n? a\n: b\nnull: 1\n.inf: 2\n&x c: d\n", Options{Aliases: true},
			"f:1:4: this is not YAML: found an invalid key for this map"},
		{"an explicit key", "? a\n: b\n", Options{}, "f:1:1: a key must be one word"},
		{"a key of nothing", "null: 1\n~: 2\n.inf: 3\n", Options{},
			"f:1:1: a key must be one word\nf:2:1: a key must be one word\nf:3:1: a key must be one word"},
		{"an anchor of a key", "&x a: 1\n", Options{Aliases: true}, "f:1:1: a key must be one word"},
		{"directive", "%YAML 1.2\n---\na: 1\n", Options{},
			"f:1:1: directives such as %YAML are not allowed; leave it out"},
		{"numbers that are none", "[.inf, .nan]", Options{},
			"f:1:2: [0]: .inf is not allowed as a number; put text in quotes\n" +
				"f:1:8: [1]: .nan is not allowed as a number; put text in quotes"},
		{"two documents", "a: 1\n---\nb: 1\n", Options{},
			"f:3:1: there is a second document; write one document per file"},
		{"control characters", "a: \x01\n", Options{},
			"f:1:4: this is not text; save it as UTF-8 without control characters"},
		{"a bound of its own", "abc", Options{Bytes: 2}, "f:1:1: the file has 3 bytes, 2 are allowed"},
		{"a depth of its own", "[[[1]]]", Options{Depth: 2},
			"f:1:4: [0][0][0]: more than 2 mappings and lists are inside one another"},
		{"all: tags and anchors", "a: &x !!str 1\nb: *x\nc: &x 2\nd: *x\n&k e: *k\n", Options{All: true},
			`@1:1{a@1:1=@1:7!!str 1 b@2:1=@1:7!!str 1 c@3:1=@3:7 2 d@4:1=@3:7 2 e@5:1=@5:4"e"}`},
		{"all: a merge key", "a: {<<: {b: 1}}\n", Options{All: true}, `@1:1{a@1:1=@1:4{<<@1:5=@1:9{b@1:10=@1:13 1}}}`},
		{"all: a tag of an alias", "a: &x 1\nb: !!str *x\n", Options{All: true},
			`f:2:4: b: the tag "!!str" is not before a value`},
	} {
		r := NewReader("f")
		n := r.Read([]byte(c.in), c.options)
		got := r.Faults().Error()
		if got == "" {
			got = shown(n)
		}
		if got != c.want {
			t.Errorf("%s: Read(%q) =\n%s\nwant\n%s", c.name, c.in, got, c.want)
		}
	}
}
