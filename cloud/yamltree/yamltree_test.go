package yamltree

import (
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// numbered repeats a format with the numbers from 0 on until it has that many bytes.
func numbered(format string, size int) string {
	var b strings.Builder
	for i := 0; b.Len() < size; i++ {
		b.WriteString(strings.ReplaceAll(format, "%d", fmt.Sprint(i)))
	}
	return b.String()
}

// TestWork reads files of every shape that could take the parser long: what is allocated is in proportion to the size.
// The work is counted in bytes, since seconds depend on the computer: a mapping of 389 kB once took 11 GB, and ten
// seconds.
func TestWork(t *testing.T) {
	const size = 128 << 10
	long := strings.Repeat("k", 5000)
	for name, shape := range map[string]func(size int) string{
		"keys":        func(n int) string { return numbered("k%d: 1\n", n) },
		"keys of two": func(n int) string { return numbered("a%d:\n  b: 1\n", n) },
		"quoted keys": func(n int) string { return numbered("\"k%d\": \"x\"\n", n) },
		"keys at the bound": func(n int) string {
			return numbered("- a:\n"+numbered("    k%d: 1\n", 60_000), n)
		},
		"keys without a value":    func(n int) string { return numbered("k%d:\n", n) },
		"braces":                  func(n int) string { return "{" + numbered("k%d: 1, ", n) + "}" },
		"braces without a value":  func(n int) string { return "{" + numbered("k%d, ", n) + "}" },
		"braces with a colon":     func(n int) string { return "{" + numbered("k%d: , ", n) + "}" },
		"brackets":                func(n int) string { return "[" + numbered("%d, ", n) + "]" },
		"pairs":                   func(n int) string { return "[" + numbered("a: %d, ", n) + "]" },
		"entries":                 func(n int) string { return numbered("- %d\n", n) },
		"entries without a value": func(n int) string { return numbered("-\n", n) },
		"entries of keys":         func(n int) string { return numbered("- a: 1\n  b: %d\n", n) },
		"explicit keys":           func(n int) string { return numbered("? k%d\n: 1\n", n) },
		"documents":               func(n int) string { return numbered("---\na: %d\n", n) },
		"ends":                    func(n int) string { return numbered("a: %d\n...\n", n) },
		"anchors":                 func(n int) string { return numbered("- &a%d x\n", n) },
		"aliases":                 func(n int) string { return "- &a x\n" + numbered("- *a\n", n) },
		"tags":                    func(n int) string { return numbered("- !!str %d\n", n) },
		"tags of tags":            func(n int) string { return strings.Repeat("!a ", n/3) },
		"anchors of anchors":      func(n int) string { return strings.Repeat("&a ", n/3) },
		"literals":                func(n int) string { return numbered("k%d: |\n  x\n", n) },
		"entries of literals":     func(n int) string { return numbered("- |\n  x\n", n) },
		"long keys":               func(n int) string { return numbered(long+"%d: 1\n", n) },
		"a long key": func(n int) string {
			return strings.Repeat("k", n/2) + ":\n" + numbered("- %d\n",
				n/2)
		},
		"long keys in one another": func(n int) string {
			return long + ":\n " + long + ":\n" + numbered(" - %d\n", n)
		},
		"long braces in one another": func(n int) string {
			return "{" + long + ": {" + long + ": [" + numbered("%d, ", n) + "]}}"
		},
		"comments":    func(n int) string { return numbered("# %d\n", n) },
		"blanks":      func(n int) string { return "a: 1" + strings.Repeat("\n", n) + "b: 1\n" },
		"one text":    func(n int) string { return "a: " + strings.Repeat("b", n) },
		"one literal": func(n int) string { return "a: |\n" + strings.Repeat("  b\n", n/4) },
		"one folded":  func(n int) string { return "a: >\n" + strings.Repeat("  b\n\n", n/5) },
		"one quote":   func(n int) string { return "a: \"" + strings.Repeat("\\x41\n", n/5) + "\"" },
		"dashes":      func(n int) string { return strings.Repeat("- ", n/2) },
		"questions":   func(n int) string { return strings.Repeat("? ", n/2) },
		"colons":      func(n int) string { return strings.Repeat(": ", n/2) },
		"commas":      func(n int) string { return "[" + strings.Repeat(", ", n/2) + "]" },
		"open":        func(n int) string { return strings.Repeat("[", n) },
		"closed":      func(n int) string { return strings.Repeat("]", n) },
	} {
		b := []byte(shape(size))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		NewReader("f").Read(b, Options{All: true})
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; got > 1024*uint64(len(b)) {
			t.Errorf("%s: reading %d bytes allocates %d bytes, want at most 1024 for each", name, len(b), got)
		}
	}
}

// TestBounds has what would take much time, stack or memory be refused, with its place.
func TestBounds(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"bytes", strings.Repeat("#", MaxBytes+1), "f:1:1: the file has 1048577 bytes, 1048576 are allowed"},
		{"tokens", strings.Repeat("- a\n", 1<<17), "f:30001:1: the file has more than 60000 words and signs"},
		{"keys", numbered("k%d: 1\n", 389_000), "f:4097:6: the mapping has more than 4096 keys"},
		{"keys in one another", "a:\n  b:\n" + numbered("    k%d: 1\n", 389_000),
			"f:4099:10: the mapping has more than 4096 keys"},
		{"keys in braces", "{" + numbered("k%d: 1, ", 389_000) + "}", "f:1:39857: the mapping has more than 4096 keys"},
		{"keys without values", numbered("k%d:\n", 389_000),
			"f:1001:6: more than 1000 keys and list entries have no value"},
		{"braces without values", "{" + numbered("k%d, ", 389_000) + "}",
			"f:1:5897: more than 1000 keys and list entries have no value"},
		{"entries without values", strings.Repeat("-\n", 2000),
			"f:1001:1: more than 1000 keys and list entries have no value"},
		{"path", strings.Repeat("k", 9000) + ":\n- 1\n", "f:1:9001: the keys that lead here have more than 8192 bytes"},
		{"documents", strings.Repeat("---\na: 1\n", 20), "f:33:1: the file has more than 16 documents"},
		{"anchors", strings.Repeat("&a ", 100) + "x", "f:1:97: more than 32 mappings and lists are inside one another"},
	} {
		r := NewReader("f")
		if n := r.Read([]byte(c.in), Options{}); n != nil || r.Faults().Error() != c.want {
			t.Errorf("%s: the faults are %v, want %s", c.name, r.Faults(), c.want)
		}
	}
	// What a mapping can have is not refused as the sum of many.
	for _, in := range []string{numbered("- a: 1\n  b: 2\n", 60_000), numbered("- {a: 1}\n", 60_000),
		numbered("k%d:\n  a: 1\n  b: 2\n", 40_000)} {
		r := NewReader("f")
		if n := r.Read([]byte(in), Options{}); n == nil || len(r.Faults()) > 0 {
			t.Errorf("Read of %.20q… = %v", in, r.Faults())
		}
	}
}

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
			`@1:1{a@1:1=@1:4 1 b@2:1=@2:4 1.5 c@3:1=@3:4 true d@4:1=@4:4"text" e@5:1=@5:4"1" f@6:1=@6:1 <nil> g@7:1=@7:1 <nil> h@8:1=@8:4"x\n"}`},
		{"columns count characters", "ä: é\n", Options{}, `@1:1{ä@1:1=@1:4"é"}`},
		{"words of YAML 1.1 are text", "[yes, no, on, off, 0o17, 12:30]", Options{},
			`@1:1[@1:2"yes" @1:7"no" @1:11"on" @1:15"off" @1:20 15 @1:26"12:30"]`},
		{"inside one another", "a:\n- b: [1, {c: 2}]\n", Options{},
			`@1:1{a@1:1=@2:1[@2:3{b@2:3=@2:6[@2:7 1 @2:10{c@2:11=@2:14 2}]}]}`},
		{"aliases", "a: &x [1]\nb: *x\n", Options{Aliases: true}, `@1:1{a@1:1=@1:7[@1:8 1] b@2:1=@1:7[@1:8 1]}`},
		{"aliases of nothing", "a: &x\nb: *x\n", Options{Aliases: true}, `@1:1{a@1:1=@1:1 <nil> b@2:1=@1:1 <nil>}`},
		{"aliases refused", "a: &x 1\nb: *x\n", Options{Instead: "use c"},
			"f:1:4: a: anchors (&) and aliases (*) are not allowed; use c\nf:2:4: b: anchors (&) and aliases (*) are not allowed; use c"},
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
			"f:1:2: [0]: .inf is not allowed as a number; put text in quotes\nf:1:8: [1]: .nan is not allowed as a number; put text in quotes"},
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

// FuzzRead has any bytes be a file: reading never panics, gives the same twice, and every fault and every value has a
// place in the file. What is read without a fault is the same as what the library makes of it.
func FuzzRead(f *testing.F) {
	for _, s := range []string{"a: 1\nb: [x, {y: 'z'}]\n", "a: &x [1]\nb: *x\n", "&a [*a]", "x: &x {y: *x}",
		"a: |\n x\n", "%YAML 1.2\n---\n", "? a\n: b\n", "!!str &a b", "a: {<<: *b}", "{a, b: , c}", "- -\n-", "\ufeffa: 1\r\n"} {
		f.Add([]byte(s), uint8(0))
		f.Add([]byte(strings.Repeat(s, 40)), uint8(1))
		f.Add([]byte(s), uint8(2))
	}
	f.Fuzz(func(t *testing.T, b []byte, which uint8) {
		o := []Options{{}, {Aliases: true, Depth: 4}, {All: true}}[which%3]
		read := func() (*Node, Faults) {
			r := NewReader("f")
			n := r.Read(b, o)
			return n, r.Faults()
		}
		n, faults := read()
		again, faults2 := read()
		if faults.Error() != faults2.Error() || n == nil && len(faults) == 0 {
			t.Fatalf("Read(%q) = %v, then %v", b, faults, faults2)
		}
		lines := strings.Count(string(b), "\n") + strings.Count(string(b), "\r") + 2
		for _, one := range faults {
			if one.Line < 1 || one.Column < 1 || one.Line > lines || strings.ContainsAny(one.Error(), "\n\r") {
				t.Fatalf("Read(%q): %q at %d:%d", b, one.Error(), one.Line, one.Column)
			}
		}
		if len(faults) > 0 {
			return
		}
		if one, two := shown(n), shown(again); one != two {
			t.Fatalf("Read(%q) = %s, then %s", b, one, two)
		}
		var want any
		if which%3 == 0 && yaml.Unmarshal(b, &want) == nil {
			if d := cmp.Diff(want, n.Plainly(), cmpopts.EquateNaNs()); d != "" {
				t.Fatalf("Read(%q) differs from what the library reads (-library +ours):\n%s", b, d)
			}
		}
	})
}
