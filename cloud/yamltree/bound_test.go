package yamltree

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
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
